// series_fixture.h: batches of points, and a series store over a store in memory, for its tests.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <mutex>
#include <thread>

#include "collector/store/series_regex.h"
#include "collector/store/series_store.h"
#include "tests/support/memory_kv.h"

namespace hms::collector {

inline constexpr int64_t kDay = 86'400'000;
inline constexpr int64_t kNow = 20'779 * kDay + 12 * 3'600'000;  // Unix milliseconds, noon

/// Builds one batch of points.
class Batch {
 public:
  explicit Batch(const std::string& service = "claims", const std::string& instance = "i-1") {
    telemetry::ResourceView resource;
    resource.service_name = batch_->keep(service);
    resource.service_instance = batch_->keep(instance);
    batch_->resources.push_back(resource);
  }
  Batch& number(telemetry::PointKind kind, telemetry::Temporality temporality,
                const std::string& name, int64_t t, double value, int64_t start = 0,
                const std::string& route = "") {
    telemetry::MetricPointView& point = add(kind, name, t, route);
    point.temporality = temporality;
    point.value = value;
    point.start_unix_nanos = static_cast<uint64_t>(start) * 1'000'000;
    return *this;
  }
  Batch& gauge(const std::string& name, int64_t t, double value, const std::string& route = "") {
    return number(telemetry::PointKind::gauge, telemetry::Temporality::cumulative, name, t, value,
                  0, route);
  }
  Batch& delta(const std::string& name, int64_t start, int64_t t, double value,
               const std::string& route = "") {
    return number(telemetry::PointKind::counter, telemetry::Temporality::delta, name, t, value,
                  start, route);
  }
  Batch& histogram(const std::string& name, int64_t start, int64_t t,
                   const std::vector<double>& values, const std::string& route = "") {
    telemetry::MetricPointView& point = add(telemetry::PointKind::histogram, name, t, route);
    point.unit = "s";
    point.temporality = telemetry::Temporality::delta;
    point.start_unix_nanos = static_cast<uint64_t>(start) * 1'000'000;
    point.histogram = static_cast<uint32_t>(batch_->histograms.size());
    telemetry::Histogram value;
    for (const double one : values) value.record(one);
    batch_->histograms.push_back(value);
    return *this;
  }
  Batch& stale() {
    batch_->points.back().stale = true;
    return *this;
  }
  AcceptedBatch accepted(int64_t arrived) {
    AcceptedBatch out;
    out.arrived_unix_nanos = static_cast<uint64_t>(arrived) * 1'000'000;
    out.metrics = std::move(batch_);
    return out;
  }

 private:
  telemetry::MetricPointView& add(telemetry::PointKind kind, const std::string& name, int64_t t,
                                  const std::string& route) {
    telemetry::MetricPointView point;
    point.kind = kind;
    point.name = batch_->keep(name);
    point.time_unix_nanos = static_cast<uint64_t>(t) * 1'000'000;
    point.attributes.begin = static_cast<uint32_t>(batch_->attributes.size());
    if (!route.empty()) {
      telemetry::Attribute attribute;
      attribute.key = batch_->keep("http.route");
      attribute.value.kind = telemetry::AttributeValue::Kind::text;
      attribute.value.text = batch_->keep(route);
      batch_->attributes.push_back(attribute);
    }
    point.attributes.end = static_cast<uint32_t>(batch_->attributes.size());
    batch_->points.push_back(point);
    return batch_->points.back();
  }
  std::shared_ptr<telemetry::MetricBatch> batch_ = std::make_shared<telemetry::MetricBatch>();
};

/// A store on a Kv, driven as the engine drives it.
struct Fixture {
  explicit Fixture(SeriesStoreOptions with = {}) : options(std::move(with)) {
    options.clock = [] { return static_cast<uint64_t>(kNow) * 1'000'000; };
    restart();
  }
  void restart() {
    store = make_series_store(options);
    REQUIRE(store->recover(kv).ok());
  }
  void put(Batch batch, int64_t arrived = kNow) {
    const std::vector<AcceptedBatch> group = {batch.accepted(arrived)};
    REQUIRE(kv.commit([&](KvWriter& writer) { store->prepare(group, writer); }).ok());
    store->committed(group);
  }
  void maintain(int64_t now = kNow) {
    REQUIRE(kv.commit([&](KvWriter& writer) {
                store->maintain(static_cast<uint64_t>(now) * 1'000'000, writer);
              }).ok());
  }
  /// Everything in memory goes to chunks, the log is cut.
  void seal() {
    const int64_t far = kNow + 10 * 365 * kDay;
    for (int i = 0; i < 4; ++i) maintain(far);
    maintain(kNow);  // the clock again
  }
  std::vector<Series> select(const std::string& name, int64_t start = 0,
                             int64_t end = kNow + kDay) const {
    auto found = store->select({{"__name__", LabelMatcher::Kind::equal, name}}, start, end, {});
    REQUIRE(found.ok());
    return std::move(*found);
  }
  std::string values(const std::string& name, int64_t start = 0, int64_t end = kNow + kDay) const {
    std::string out;
    for (const Series& series : select(name, start, end)) {
      for (const Sample& sample : series.samples) {
        out += std::to_string(sample.t_millis - kNow) + ":" +
               std::to_string(static_cast<int64_t>(sample.value)) + " ";
      }
      for (const HistogramSample& sample : series.histograms) {
        out += std::to_string(sample.t_millis - kNow) + ":h" + std::to_string(sample.value->count) +
               " ";
      }
    }
    return out;
  }
  size_t keys(uint8_t table) const {
    size_t count = 0;
    for (const Family day : kv.days()) {
      const auto scanned = kv.scan(
          day, std::string(1, static_cast<char>(table)),
          std::string(1, static_cast<char>(table + 1)),
          [&](std::string_view, std::string_view) { return ++count > 0; }, false);
      REQUIRE(scanned.ok());
    }
    return count;
  }
  SeriesStoreOptions options;
  MemoryKv kv;
  std::unique_ptr<SeriesStore> store;
};

}  // namespace hms::collector
