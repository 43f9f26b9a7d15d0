/* cellbench swarm: segments to real cells over loopback TLS and back, all in one process. */
#pragma once

/* argv[0] is "swarm". Returns the exit code. */
int bench_swarm(int argc, char **argv);
