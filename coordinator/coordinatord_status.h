/* `coordinatord status`: how the swarm is, for a person or as one JSON object. */
#pragma once

#include "coordinator.h"
#include "daemon/daemon_control.h"

/* In the running process: answers "status" and "status --json", now or later; anything else is not
   understood. The coordinator must live until then (coordinator_stop() sees to it). */
void coordinatord_status_answer(struct coordinator *coordinator,
                                struct uvio_control_request *request, struct slice words);
