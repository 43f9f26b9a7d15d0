/* cellbench erasure: our coder beside libisal, Jerasure and liberasurecode, in the same run. */
#pragma once

/* argv[0] is "erasure". Returns the exit code. */
int bench_erasure(int argc, char **argv);
