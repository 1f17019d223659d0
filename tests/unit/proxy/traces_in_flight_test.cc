#include "proxy/traces_in_flight.h"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

using namespace hms::proxy;
using hms::telemetry::SpanId;
using hms::telemetry::TraceId;

namespace {

TraceId trace(uint8_t number) {
  TraceId id;
  id.bytes[0] = id.bytes[15] = number;
  return id;
}
SpanId span(uint8_t number) {
  SpanId id;
  id.bytes[0] = id.bytes[7] = number;
  return id;
}

}  // namespace

TEST_CASE("traces_in_flight: a call finds the request that caused it, while it is served") {
  const auto traces = std::make_unique<TracesInFlight>();
  CHECK(traces->find(trace(1)).is_zero());
  traces->begin(trace(1), span(7));
  CHECK(traces->find(trace(1)) == span(7));
  CHECK(traces->find(trace(2)).is_zero());
  traces->end(trace(1));
  CHECK(traces->find(trace(1)).is_zero());
}

TEST_CASE("traces_in_flight: with two requests of one trace nothing is joined until both ended") {
  const auto traces = std::make_unique<TracesInFlight>();
  traces->begin(trace(1), span(7));
  traces->begin(trace(1), span(8));
  CHECK(traces->find(trace(1)).is_zero());
  traces->end(trace(1));
  CHECK(traces->find(trace(1)).is_zero());  // which of the two is left cannot be told
  traces->begin(trace(1), span(9));
  CHECK(traces->find(trace(1)).is_zero());
  traces->end(trace(1));
  traces->end(trace(1));
  traces->begin(trace(1), span(10));
  CHECK(traces->find(trace(1)) == span(10));
}

TEST_CASE("traces_in_flight: no reader ever gets another trace's span") {
  const auto traces = std::make_unique<TracesInFlight>();
  std::vector<std::thread> threads;
  std::atomic<bool> wrong = false, stop = false;
  for (uint8_t number = 1; number <= 2; ++number) {
    threads.emplace_back([&traces, number] {
      for (int i = 0; i < 100'000; ++i) {
        traces->begin(trace(number), span(number));
        traces->end(trace(number));
      }
    });
  }
  std::thread reader([&] {
    while (!stop) {
      for (uint8_t number = 1; number <= 2; ++number) {
        const SpanId found = traces->find(trace(number));
        if (!found.is_zero() && !(found == span(number))) wrong = true;
      }
    }
  });
  for (std::thread& thread : threads) thread.join();
  stop = true;
  reader.join();
  CHECK_FALSE(wrong);
}
