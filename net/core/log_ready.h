// log_ready.h: the one line that is written at every log level. Whoever starts a program waits for
// it, and learns its ports from it when they were 0. Apart from log.h, as two programs use it once.
#pragma once

#include <initializer_list>

#include "net/core/log.h"

namespace hms::net {

/// "msg":"ready" at level info, whatever the log level is.
void log_ready(std::initializer_list<LogField> fields);

}  // namespace hms::net
