/* cellbench coordinator: what one core of a coordinator's machine is enough for. */
#pragma once

int bench_coordinator(int argc, char **argv);
