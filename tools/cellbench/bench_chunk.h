/* cellbench chunk: how fast files are cut, and chunks packed and unpacked, on one core. */
#pragma once

/* argv[0] is "chunk". Returns the exit code. */
int bench_chunk(int argc, char **argv);
