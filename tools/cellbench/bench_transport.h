/* cellbench transport: PUT and GET of shards over the real net port on loopback, beside raw TLS
   and, where they are installed, h2load against nghttpd. */
#pragma once

/* argv[0] is "transport". Returns the exit code. */
int bench_transport(int argc, char **argv);
