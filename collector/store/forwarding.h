// forwarding.h: the base of stores that answer questions in another's stead (with the lake's days,
// with what is damaged) and pass all else on to it. Thread: as the store behind it.
#pragma once

#include <cstdint>
#include <span>

#include "collector/store/engine.h"

namespace hms::collector {

/// What such a store passes on.
template <class Store>
class Forwarding : public Store {
 public:
  explicit Forwarding(Store& hot) : hot_(hot) {}
  net::Result<void> recover(const KvReader& reader) override { return hot_.recover(reader); }
  void prepare(std::span<const AcceptedBatch> group, KvWriter& writer) override {
    hot_.prepare(group, writer);
  }
  void committed(std::span<const AcceptedBatch> group) override { hot_.committed(group); }
  void failed(std::span<const AcceptedBatch> group) override { hot_.failed(group); }
  void maintain(uint64_t now_unix_nanos, KvWriter& writer) override {
    hot_.maintain(now_unix_nanos, writer);
  }
  void seal_day(Family day) override { hot_.seal_day(day); }
  void forget_day(Family day) override { hot_.forget_day(day); }

 protected:
  Store& hot_;
};

}  // namespace hms::collector
