// series_key.h: what tells the live window's series apart, as a key of its index and as what is
// looked for in it without making texts. Thread: values.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

namespace hms::collector {

template <class Text>
struct SeriesKey {
  Text service, route, upstream;
  bool outbound = false, derived = false;
  [[nodiscard]] size_t hash() const noexcept {
    const std::hash<std::string_view> of;
    return ((of(service) * 31 + of(route)) * 31 + of(upstream)) * 4 + outbound * 2U + derived;
  }
};
struct SeriesKeyHash {
  using is_transparent = void;
  template <class Text>
  size_t operator()(const SeriesKey<Text>& key) const noexcept {
    return key.hash();
  }
};
struct SeriesKeyEqual {
  using is_transparent = void;
  template <class A, class B>
  bool operator()(const SeriesKey<A>& a, const SeriesKey<B>& b) const noexcept {
    return a.outbound == b.outbound && a.derived == b.derived && a.service == b.service &&
           a.route == b.route && a.upstream == b.upstream;
  }
};

}  // namespace hms::collector
