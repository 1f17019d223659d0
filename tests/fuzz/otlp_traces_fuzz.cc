// otlp_traces_fuzz.cc: any bytes as an OTLP traces request, in protobuf and in JSON.
#include "tests/fuzz/otlp_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hms::fuzz::run(hms::telemetry::decode_traces, data, size);
  return 0;
}
