/* Nothing of its own: linked with a room whole and the rooms that it declares, it shows that the
   room calls nothing else. */
int main(void)
{
    return 0;
}
