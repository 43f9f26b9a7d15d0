/* cellbench pipeline: what a first backup of a tree costs at least, each step alone on one core. */
#pragma once

int bench_pipeline(int argc, char **argv);
