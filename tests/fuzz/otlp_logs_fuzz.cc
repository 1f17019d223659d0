// otlp_logs_fuzz.cc: any bytes as an OTLP logs request, in protobuf and in JSON.
#include "tests/fuzz/otlp_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hms::fuzz::run(hms::telemetry::decode_logs, data, size);
  return 0;
}
