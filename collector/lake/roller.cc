#include "collector/lake/roller.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <utility>

#include "collector/lake/day_writer.h"
#include "collector/lake/fault_points.h"
#include "collector/lake/table_files.h"
#include "collector/lake/verify.h"
#include "collector/store/keys.h"
#include "collector/store/retention_sweep.h"
#include "net/core/log.h"
#include "net/core/random.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

constexpr uint64_t kRetryNanos = 600'000'000'000ULL;  // after a failed night
constexpr int kNice = 15;                             // ingest and questions go first

std::string iso_seconds(uint64_t unix_nanos) {
  const auto day = static_cast<uint32_t>(unix_nanos / net::kNanosPerDay);
  const uint64_t second = unix_nanos % net::kNanosPerDay / 1'000'000'000;
  char text[16];
  std::snprintf(text, sizeof text, "T%02u:%02u:%02uZ", static_cast<unsigned>(second / 3600),
                static_cast<unsigned>(second / 60 % 60), static_cast<unsigned>(second % 60));
  return day_text(day) + text;
}

/// Waits for an engine's answer.
template <class Start>
Result<void> wait_for(const Start& start) {
  auto promise = std::make_shared<std::promise<Result<void>>>();
  auto future = promise->get_future();
  start([promise](Result<void> outcome) { promise->set_value(std::move(outcome)); });
  return future.get();
}

bool has_table(const KvReader& reader, Family day, Table table) {
  const std::string begin = table_key(table);
  const std::string end(1, static_cast<char>(begin[0] + 1));
  bool found = false;
  auto scanned = reader.scan(day, begin, end, [&found](std::string_view, std::string_view) {
    found = true;
    return false;
  });
  return found || !scanned.ok();
}

Error bad_day(Code code, uint32_t day, const std::string& why, bool may_retry = false) {
  return {code, net::Side::self, may_retry, "day " + day_text(day) + " " + why};
}

}  // namespace

Roller::Roller(StorageEngine& engine, const SeriesSource& series, Lake& lake, RollerOptions options)
    : engine_(engine), series_(series), lake_(lake), options_(std::move(options)) {}

Roller::~Roller() { stop(); }

void Roller::publish_known_days() {
  for (const auto& [day, state] : engine_.lake_days()) {
    if (state == StorageEngine::DayState::in_lake) lake_.publish(day.day, nullptr);
  }
}

uint32_t Roller::today() const {
  return static_cast<uint32_t>((options_.clock ? options_.clock() : net::unix_nanos()) /
                               net::kNanosPerDay);
}

bool Roller::stopping() const {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void Roller::set_step(std::string step) {
  const std::lock_guard lock(mutex_);
  status_.step = std::move(step);
}

RollerStatus Roller::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

// ---------------------------------------------------------------- one day

Result<ManifestPtr> Roller::roll(uint32_t day) {
  {
    const std::lock_guard lock(mutex_);
    status_.rolling = day;
    status_.step = "begin";
  }
  auto rolled = roll_open_day(day);
  if (!rolled.ok()) {  // what was written here takes room until the next try
    std::error_code ignored;
    std::filesystem::remove_all(options_.staging_folder, ignored);
  }
  const std::lock_guard lock(mutex_);
  status_.rolling.reset();
  status_.step.clear();
  status_.last_day = day;
  status_.last_error = rolled.ok() ? std::string() : rolled.error().detail;
  ++(rolled.ok() ? status_.rolled : status_.failed);
  return rolled;
}

Result<ManifestPtr> Roller::roll_open_day(uint32_t number) {
  const Family day{number};
  const auto known = engine_.lake_days();
  const auto state = known.find(day);
  if (state != known.end() && state->second == StorageEngine::DayState::in_lake) {
    if (lake_.days().empty()) publish_known_days();
    return lake_.manifest(number);
  }
  if (auto good = check(day); !good.ok()) return std::move(good).error();
  auto store = store_id();
  if (!store.ok()) return std::move(store).error();
  auto manifest = found_in_lake(number, store.value());
  const bool written_before = manifest.ok() && state != known.end();
  if (!manifest.ok() && manifest.error().code != Code::not_found)
    return std::move(manifest).error();
  if (!written_before) {
    if (auto sealed = seal(day); !sealed.ok()) return std::move(sealed).error();
    manifest = write(day);
    if (!manifest.ok()) return std::move(manifest).error();
    manifest.value().store = store.value();
    manifest.value().rolled_at = iso_seconds(options_.clock ? options_.clock() : net::unix_nanos());
    if (auto sent = send(manifest.value()); !sent.ok()) return std::move(sent).error();
  }
  set_step("verify");
  VerifyOptions verify;
  verify.scratch_folder = options_.staging_folder;
  verify.cancelled = [this] { return stopping(); };
  std::error_code fault;
  std::filesystem::create_directories(options_.staging_folder, fault);
  if (auto good = verify_day(lake_.destination(), manifest.value(), verify); !good.ok())
    return std::move(good).error();
  fault_point("verified");
  auto shared = std::make_shared<const LakeManifest>(std::move(manifest).value());
  if (!written_before) {
    set_step("manifest");
    const std::string text = encode_manifest(*shared);
    if (auto put = lake_.destination().put(manifest_name(number), text); !put.ok())
      return std::move(put).error();
    auto back = read_object(lake_.destination(), manifest_name(number), kMaxManifestBytes);
    if (!back.ok()) return std::move(back).error();
    if (back.value() != text)
      return bad_day(Code::corrupt, number, "has a manifest in the lake that is not what was sent");
  }
  fault_point("manifest");
  if (auto retired = retire(day, shared); !retired.ok()) return std::move(retired).error();
  std::filesystem::remove_all(options_.staging_folder, fault);
  return ManifestPtr(std::move(shared));
}

Result<void> Roller::check(Family day) const {
  if (day.day >= today())
    return bad_day(Code::bad_message, day.day, "has not ended (UTC); whole days are rolled");
  const auto days = engine_.reader().days();
  if (std::find(days.begin(), days.end(), day) == days.end())
    return bad_day(Code::not_found, day.day, "has nothing stored");
  // Points are read from memory too, but their log entries must not go with the day before other
  // days' points that arrived with them are in chunks.
  if (has_table(engine_.reader(), day, Table::series_log))
    return bad_day(Code::unavailable, day.day,
                   "still has metric points that are not in chunks; that takes half an hour", true);
  if (!is_swept(engine_.reader(), day, today(), options_.retention))
    return bad_day(Code::unavailable, day.day,
                   "still has records past their own retention, which are being removed", true);
  return {};
}

Result<LakeManifest> Roller::found_in_lake(uint32_t day, const std::string& store) const {
  auto text = read_object(lake_.destination(), manifest_name(day), kMaxManifestBytes);
  if (!text.ok()) return std::move(text).error();
  auto manifest = decode_manifest(text.value());
  if (!manifest.ok()) return manifest;
  if (manifest.value().store != store)
    return bad_day(Code::already_exists, day,
                   "is in the lake already, written by another collector (" +
                       manifest.value().store + "); use another folder or prefix");
  return manifest;
}

/// This store's own name in manifests, made once.
Result<std::string> Roller::store_id() {
  const std::string key = table_key(Table::lake_day);
  auto known = engine_.reader().get(Family::meta(), key);
  if (known.ok() || known.error().code != Code::not_found) return known;
  const std::string made = net::uuid_text(net::uuid_v7());
  auto written = wait_for([&](auto done) {
    engine_.write([&](KvWriter& writer) { writer.put(Family::meta(), key, made); },
                  std::move(done));
  });
  if (!written.ok()) return std::move(written).error();
  return made;
}

Result<void> Roller::seal(Family day) {
  set_step("seal");
  auto sealed = wait_for([&](auto done) { engine_.seal_day(day, std::move(done)); });
  fault_point("sealed");
  return sealed;
}

Result<LakeManifest> Roller::write(Family day) {
  std::error_code fault;
  std::filesystem::remove_all(options_.staging_folder, fault);
  std::filesystem::create_directories(options_.staging_folder, fault);
  if (fault) return file_error(options_.staging_folder, fault.value());
  DayWriterOptions writer;
  writer.folder = options_.staging_folder;
  writer.cancelled = [this] { return stopping(); };
  writer.on_table = [this](LakeTable table) {
    set_step("write " + std::string(table_spec(table).name));
    if (table == LakeTable::logs) fault_point("table");   // spans are written, logs are not
    if (table == LakeTable::edges) fault_point("edges");  // all but the service map
  };
  auto manifest = write_day(*engine_.reader().one_pass(), series_, day, writer);
  fault_point("written");
  return manifest;
}

Result<void> Roller::send(const LakeManifest& manifest) {
  const auto put = [this](const LakeObject& object) -> Result<void> {
    if (stopping())
      return Error{Code::canceled, net::Side::self, true, "lake: the roll was stopped"};
    set_step("send " + object.name);
    const std::string path = staged_path(options_.staging_folder, object.name);
    auto sent = lake_.destination().put_file(object.name, path);
    if (!sent.ok()) return sent;
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
    fault_point("upload");
    return {};
  };
  for (const LakeTableManifest& table : manifest.tables) {
    for (const LakeObject& object : table.files) {
      if (auto sent = put(object); !sent.ok()) return sent;
    }
    if (!table.trace_index) continue;
    if (auto sent = put(*table.trace_index); !sent.ok()) return sent;
  }
  fault_point("uploaded");
  return {};
}

Result<void> Roller::retire(Family day, ManifestPtr manifest) {
  set_step("drop");
  auto retired = wait_for([&](auto done) {
    engine_.retire_day(
        day,
        [this, day, manifest] {
          fault_point("recorded");
          lake_.begin_move();
          lake_.publish(day.day, manifest);
        },
        [this, done = std::move(done)](Result<void> outcome) {
          if (outcome.ok()) lake_.end_move();
          done(std::move(outcome));
        });
  });
  fault_point("retired");
  return retired;
}

// ---------------------------------------------------------------- the thread

void Roller::start() {
  thread_ = std::thread([this] { run(); });
}

void Roller::request(uint32_t day) {
  const std::lock_guard lock(mutex_);
  status_.waiting.insert(day);
  wake_.notify_all();
}

void Roller::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

uint64_t Roller::next_night() const {
  const uint64_t now = options_.clock ? options_.clock() : net::unix_nanos();
  const uint64_t tonight = now / net::kNanosPerDay * net::kNanosPerDay +
                           options_.minute_of_day * uint64_t{60'000'000'000};
  return tonight > now ? tonight : tonight + net::kNanosPerDay;
}

std::set<uint32_t> Roller::overdue() const {
  std::set<uint32_t> out;
  for (const Family day : engine_.reader().days()) {
    if (uint64_t{day.day} + options_.retention_days < today()) out.insert(day.day);
  }
  // What was begun is finished first of all: nothing new is kept for a sealed day.
  for (const auto& [day, state] : engine_.lake_days()) {
    if (state == StorageEngine::DayState::sealed) out.insert(day.day);
  }
  return out;
}

std::optional<uint32_t> Roller::day_for_room() const {
  if (options_.min_free_bytes == 0 || engine_.stats().free_bytes >= options_.min_free_bytes)
    return std::nullopt;
  const auto days = engine_.reader().days();
  if (days.empty() || days.front().day >= today()) return std::nullopt;
  return days.front().day;
}

void Roller::run() {
  // Linux gives each thread its own priority.
  if (::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kNice) != 0)
    net::log_warn("the roller runs at normal priority");
  uint64_t next = 0;        // a night that was missed is made up for at the start
  uint64_t room_after = 0;  // one try for room in so long
  for (;;) {
    const uint64_t now = options_.clock ? options_.clock() : net::unix_nanos();
    const bool night = now >= next;
    if (night) {
      const std::set<uint32_t> days = overdue();
      const std::lock_guard lock(mutex_);
      status_.waiting.insert(days.begin(), days.end());
    }
    if (const auto day = day_for_room(); day && now >= room_after) {
      room_after = now + kRetryNanos / 10;
      net::log_warn("the disk is nearly full: the oldest day goes to the lake before its time",
                    {{"day", day_text(*day)}, {"floor_bytes", options_.min_free_bytes}});
      const std::lock_guard lock(mutex_);
      status_.waiting.insert(*day);
      ++status_.rolled_for_room;
    }
    roll_waiting();
    if (night) next = overdue().empty() ? next_night() : now + kRetryNanos;
    std::unique_lock lock(mutex_);
    if (stopping_) return;
    wake_.wait_for(lock, options_.look_every,
                   [this] { return stopping_ || !status_.waiting.empty(); });
    if (stopping_) return;
  }
}

void Roller::roll_waiting() {
  for (;;) {
    uint32_t day = 0;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_ || status_.waiting.empty()) return;
      day = *status_.waiting.begin();
    }
    auto rolled = roll(day);
    {
      const std::lock_guard lock(mutex_);
      status_.waiting.erase(day);
    }
    if (rolled.ok()) {
      const LakeManifest& manifest = *rolled.value();
      net::log_info("a day was rolled to the lake",
                    {{"day", day_text(day)},
                     {"spans", manifest.table(LakeTable::spans).totals.rows},
                     {"logs", manifest.table(LakeTable::logs).totals.rows},
                     {"bytes", manifest.bytes()}});
    } else if (!stopping()) {
      net::log_error("a day could not be rolled to the lake; it stays, and is tried again",
                     {{"day", day_text(day)}, {"error", rolled.error().detail}});
    }
  }
}

}  // namespace hms::collector
