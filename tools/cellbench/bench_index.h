/* cellbench index: rates, size and memory of the vault's index at ten million chunks. */
#pragma once

/* argv[0] is "index". Returns the exit code. */
int bench_index(int argc, char **argv);
