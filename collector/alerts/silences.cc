// silences.cc: reading, matching and keeping silences.
#include "collector/alerts/silences.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "net/core/log.h"
#include "net/core/random.h"
#include "telemetry/time_text.h"

namespace hms::collector {
namespace {

using nlohmann::json;

constexpr size_t kMaxSilences = 1000;
constexpr size_t kMaxMatchers = 64;
constexpr size_t kMaxText = 4096;
constexpr int64_t kKeepEndedMillis = 86'400'000;

net::Error fault(std::string detail) {
  return {net::Code::bad_message, net::Side::downstream, false, std::move(detail)};
}

net::Result<std::string> text_field(const json& from, const char* key, bool required) {
  const auto at = from.find(key);
  if (at == from.end() || at->is_null()) {
    if (required) return fault(std::string(key) + " is missing");
    return std::string();
  }
  if (!at->is_string()) return fault(std::string(key) + " is not a text");
  std::string text = at->get<std::string>();
  if (text.size() > kMaxText) return fault(std::string(key) + " has more than 4096 bytes");
  return text;
}

net::Result<bool> flag_field(const json& from, const char* key, bool otherwise) {
  const auto at = from.find(key);
  if (at == from.end() || at->is_null()) return otherwise;
  if (!at->is_boolean()) return fault(std::string(key) + " is not true or false");
  return at->get<bool>();
}

net::Result<int64_t> time_field(const json& from, const char* key) {
  auto text = text_field(from, key, true);
  if (!text) return text.error();
  const auto time = telemetry::parse_rfc3339(*text);
  if (!time)
    return fault(std::string(key) + " is \"" + text->substr(0, 60) +
                 "\", expected a time like 2026-01-31T12:00:00Z");
  return *time;
}

net::Result<CompiledMatcher> read_matcher(const json& from, size_t index) {
  const std::string place = "matchers[" + std::to_string(index) + "]";
  if (!from.is_object()) return fault(place + " is not an object");
  auto name = text_field(from, "name", true);
  auto value = text_field(from, "value", true);
  auto regex = flag_field(from, "isRegex", false);
  auto equal = flag_field(from, "isEqual", true);
  for (const net::Error* error :
       {name ? nullptr : &name.error(), value ? nullptr : &value.error(),
        regex ? nullptr : &regex.error(), equal ? nullptr : &equal.error()}) {
    if (error != nullptr) return fault(place + ": " + error->detail);
  }
  if (name->empty()) return fault(place + ": name is empty");
  LabelMatcher matcher;
  matcher.name = *name;
  matcher.value = *value;
  matcher.kind = *regex ? (*equal ? LabelMatcher::Kind::matches : LabelMatcher::Kind::not_matches)
                        : (*equal ? LabelMatcher::Kind::equal : LabelMatcher::Kind::not_equal);
  auto compiled = CompiledMatcher::compile(matcher);
  if (!compiled) return fault(place + ": " + compiled.error().detail);
  return compiled;
}

json matcher_json(const LabelMatcher& matcher) {
  const bool regex = matcher.kind == LabelMatcher::Kind::matches ||
                     matcher.kind == LabelMatcher::Kind::not_matches;
  const bool equal =
      matcher.kind == LabelMatcher::Kind::matches || matcher.kind == LabelMatcher::Kind::equal;
  return {{"name", matcher.name}, {"value", matcher.value}, {"isRegex", regex}, {"isEqual", equal}};
}

}  // namespace

struct Silences::Silence {
  std::string id, created_by, comment;
  std::vector<CompiledMatcher> matchers;
  SilenceTimes times;

  static net::Result<std::unique_ptr<Silence>> read(const json& from) {
    if (!from.is_object()) return fault("a silence is a JSON object");
    auto silence = std::make_unique<Silence>();
    auto id = text_field(from, "id", false);
    auto created_by = text_field(from, "createdBy", false);
    auto comment = text_field(from, "comment", false);
    auto starts_at = time_field(from, "startsAt");
    auto ends_at = time_field(from, "endsAt");
    if (!id) return id.error();
    if (!created_by) return created_by.error();
    if (!comment) return comment.error();
    if (!starts_at) return starts_at.error();
    if (!ends_at) return ends_at.error();
    if (*ends_at <= *starts_at) return fault("endsAt is not after startsAt");
    const auto matchers = from.find("matchers");
    if (matchers == from.end() || !matchers->is_array() || matchers->empty())
      return fault("matchers: at least one is needed");
    if (matchers->size() > kMaxMatchers) return fault("matchers: at most 64");
    for (size_t i = 0; i < matchers->size(); ++i) {
      auto matcher = read_matcher((*matchers)[i], i);
      if (!matcher) return matcher.error();
      silence->matchers.push_back(std::move(matcher).value());
    }
    // One that matches what is not there would silence everything.
    if (std::all_of(silence->matchers.begin(), silence->matchers.end(),
                    [](const auto& matcher) { return matcher.matches(""); })) {
      return fault(
          "matchers: at least one must not match the empty text, else every alert is silenced");
    }
    silence->id = *id;
    silence->created_by = *created_by;
    silence->comment = *comment;
    silence->times = {*starts_at, *ends_at, 0};
    return silence;
  }

  [[nodiscard]] bool matches(const LabelMap& labels) const {
    return std::all_of(matchers.begin(), matchers.end(), [&](const CompiledMatcher& matcher) {
      const auto at = labels.find(matcher.name());
      return matcher.matches(at == labels.end() ? std::string_view()
                                                : std::string_view(at->second));
    });
  }
};

Silences::Silences(std::unique_ptr<DurableTable> table, net::Clock clock)
    : table_(std::move(table)), clock_(clock ? std::move(clock) : net::Clock(net::unix_nanos)) {
  auto stored = table_->load();
  if (!stored) {
    net::log_error("silences could not be read", {{"error", net::to_string(stored.error())}});
    return;
  }
  for (const auto& [id, text] : *stored) {
    const json entry = json::parse(text, nullptr, false);
    auto silence = Silence::read(entry);
    if (!silence) {
      net::log_error("a stored silence could not be read",
                     {{"id", id}, {"error", silence.error().detail}});
      continue;
    }
    (*silence)->id = id;
    if (const auto at = entry.find("updatedAt"); at != entry.end() && at->is_string())
      (*silence)->times.updated_at = telemetry::parse_rfc3339(at->get<std::string>()).value_or(0);
    silences_[id] = std::move(silence).value();
  }
}

Silences::~Silences() = default;

int64_t Silences::now() const { return static_cast<int64_t>(clock_() / 1'000'000); }

void Silences::put(const json& given, std::function<void(net::Result<std::string>)> done) {
  auto read = Silence::read(given);
  if (!read) return done(read.error());
  const std::shared_ptr<Silence> silence = std::move(read).value();
  if (silence->times.ends_at <= now()) return done(fault("endsAt is in the past"));
  const bool fresh = silence->id.empty();
  if (!fresh && !silences_.contains(silence->id)) {
    return done(net::Error{net::Code::not_found, net::Side::downstream, false,
                           "no silence has the id \"" + silence->id.substr(0, 60) + "\""});
  }
  forget_old();
  if (fresh) {
    if (silences_.size() + being_made_ >= kMaxSilences)
      return done(net::Error{net::Code::too_large, net::Side::downstream, false,
                             "there are 1000 silences, which is the most there may be"});
    silence->id = net::uuid_text(net::uuid_v7());
    ++being_made_;
  }
  silence->times.updated_at = now();
  store(*silence, silence->times,
        [this, silence, fresh, done = std::move(done)](net::Result<void> result) {
          if (fresh) --being_made_;
          if (!result) return done(result.error());
          silences_[silence->id] = silence;
          done(silence->id);
        });
}

void Silences::expire(const std::string& id, std::function<void(net::Result<void>)> done) {
  const auto at = silences_.find(id);
  if (at == silences_.end())
    return done(net::Error{net::Code::not_found, net::Side::downstream, false,
                           "no silence has the id \"" + id.substr(0, 60) + "\""});
  const std::shared_ptr<Silence> silence = at->second;
  SilenceTimes ended = silence->times;
  const int64_t time = now();
  if (ended.ends_at > time) ended = {std::min(ended.starts_at, time - 1), time, time};
  store(*silence, ended, [silence, ended, done = std::move(done)](net::Result<void> result) {
    if (result) silence->times = ended;
    done(std::move(result));
  });
}

json Silences::shown(const Silence& silence, const SilenceTimes& times) const {
  json out;
  out["id"] = silence.id;
  out["matchers"] = json::array();
  for (const CompiledMatcher& matcher : silence.matchers)
    out["matchers"].push_back(matcher_json(matcher.matcher()));
  out["startsAt"] = telemetry::rfc3339(times.starts_at);
  out["endsAt"] = telemetry::rfc3339(times.ends_at);
  out["updatedAt"] = telemetry::rfc3339(times.updated_at);
  out["createdBy"] = silence.created_by;
  out["comment"] = silence.comment;
  const int64_t time = now();
  out["status"] = {{"state", time >= times.ends_at    ? "expired"
                             : time < times.starts_at ? "pending"
                                                      : "active"}};
  return out;
}

void Silences::store(const Silence& silence, const SilenceTimes& times, DurableTable::Done done) {
  table_->put(silence.id,
              shown(silence, times).dump(-1, ' ', false, json::error_handler_t::replace),
              std::move(done));
}

json Silences::list() const {
  std::vector<const Silence*> sorted;
  for (const auto& [id, silence] : silences_) {
    if (silence->times.ends_at > now() - kKeepEndedMillis) sorted.push_back(silence.get());
  }
  std::stable_sort(sorted.begin(), sorted.end(), [](const Silence* a, const Silence* b) {
    return a->times.updated_at > b->times.updated_at;
  });
  json out = json::array();
  for (const Silence* silence : sorted) out.push_back(shown(*silence, silence->times));
  return out;
}

net::Result<json> Silences::get(const std::string& id) const {
  const auto at = silences_.find(id);
  if (at == silences_.end())
    return net::Error{net::Code::not_found, net::Side::downstream, false,
                      "no silence has the id \"" + id.substr(0, 60) + "\""};
  return shown(*at->second, at->second->times);
}

std::vector<std::string> Silences::silencing(const LabelMap& labels) const {
  std::vector<std::string> ids;
  const int64_t time = now();
  for (const auto& [id, silence] : silences_) {
    const SilenceTimes& times = silence->times;
    if (time >= times.starts_at && time < times.ends_at && silence->matches(labels))
      ids.push_back(id);
  }
  return ids;
}

void Silences::forget_old() {
  for (auto it = silences_.begin(); it != silences_.end();) {
    if (it->second->times.ends_at <= now() - kKeepEndedMillis) {
      table_->remove(it->first);
      it = silences_.erase(it);
    } else {
      ++it;
    }
  }
}

}  // namespace hms::collector
