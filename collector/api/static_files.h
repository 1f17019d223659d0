// static_files.h: GET / and what it loads: the dashboard, compiled into the program.
//
// Files under /assets/ carry a hash in their name and are kept by browsers for a year; the others
// are asked for again each time and answered 304 when unchanged. Texts are compressed once, at
// start-up. Every reply forbids foreign scripts and framing. Thread: the loop's.
#pragma once

#include "net/http/server.h"

namespace hms::collector {

struct EmbeddedFile {
  const char* path;  // "/index.html"; nullptr ends the table
  const char* begin;
  const char* end;
};
extern const EmbeddedFile kEmbeddedFiles[];

/// One route per file. Without a built dashboard `/` says how to build it.
void register_static_files(net::HttpServer& server);

}  // namespace hms::collector
