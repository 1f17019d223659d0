#include "collector/api/log_tail.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "collector/api/log_json.h"
#include "collector/store/log_chunk.h"
#include "net/http/sse.h"

namespace hms::collector {

LogTail::LogTail(net::Loop& loop) : loop_(loop), timer_(loop, [this] { on_second(); }) {}
LogTail::~LogTail() = default;

bool LogTail::Reader::wants(const telemetry::LogBatch& batch, const telemetry::LogView& log) const {
  return std::any_of(matches.begin(), matches.end(),
                     [&](const LogMatch& match) { return match.fits(batch, log); });
}

void LogTail::Reader::record() {
  if (!audited) return;
  audited->finish(200, [](const net::Result<void>&) {});  // they are out; a fault is counted
  audited->begin_again("tail_lines");
}

bool LogTail::subscribe(const net::ReplyPtr& reply, const std::vector<LogQuery>& any_of,
                        const AuditedPtr& audited) {
  if (readers_.size() >= kMaxReaders) {
    ++refused_;
    return false;
  }
  auto reader = std::make_unique<Reader>(reply, any_of, audited);
  if (audited) audited->begin_again("tail_lines");
  reader->last_written_at = reader->last_taken_at = reader->recorded_at = loop_.now_millis();
  reply->start(200, "text/event-stream");
  write(*reader, net::sse_comment("tail"));  // the reader knows that it is connected
  reply->on_gone([gone = reader->gone] { *gone = true; });
  if (readers_.empty()) timer_.arm(net::Millis{1'000});
  readers_.push_back(std::move(reader));
  return true;
}

void LogTail::on_batch(const AcceptedBatch& batch) {
  if (readers_.empty() || !batch.logs) return;
  for (auto& reader : readers_) offer(*reader, *batch.logs);
}

void LogTail::offer(Reader& reader, const telemetry::LogBatch& batch) {
  if (*reader.gone || reader.reply->gone()) return;
  const size_t count = batch.logs.size();
  if (looks_left_ < count) {
    reader.left_out_busy += count;
    left_out_ += count;
    return;
  }
  looks_left_ -= count;
  std::string text;
  for (const telemetry::LogView& log : batch.logs) {
    if (!reader.wants(batch, log)) continue;
    if (reader.reply->queued_bytes() + text.size() >= kMaxQueued) {
      ++reader.left_out_slow;
      ++left_out_;
      continue;
    }
    ++lines_;
    const StoredLog line = stored_log(batch, log);
    if (reader.audited) reader.audited->saw(line);
    text += net::sse_event(
        {}, {}, log_json(line).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  if (!text.empty() && tell_gap(reader)) write(reader, text);
}

/// Says what was left out before the next lines. False when the reader still cannot take it.
bool LogTail::tell_gap(Reader& reader) {
  for (const auto& [count, reason] :
       {std::pair{&reader.left_out_slow, "slow"}, std::pair{&reader.left_out_busy, "busy"}}) {
    if (*count == 0) continue;
    if (reader.reply->queued_bytes() >= kMaxQueued) return false;
    const nlohmann::json gap = {{"reason", reason}, {"lines", *count}};
    write(reader, net::sse_event("gap", {}, gap.dump()));
    *count = 0;
  }
  return true;
}

void LogTail::write(Reader& reader, const std::string& text) {
  if (!reader.reply->write(text)) return;
  reader.last_written_at = loop_.now_millis();
}

void LogTail::on_second() {
  looks_left_ = kLooksPerSecond;
  const uint64_t now = loop_.now_millis();
  for (auto& reader : readers_) {
    if (*reader->gone || reader->reply->gone()) {
      *reader->gone = true;
      continue;
    }
    if (reader->reply->queued_bytes() < kMaxQueued) {
      reader->last_taken_at = now;
      static_cast<void>(tell_gap(*reader));
    } else if (now - reader->last_taken_at >= static_cast<uint64_t>(kStalled.count())) {
      ++let_go_;
      reader->reply->write(net::sse_event("gap", {}, R"({"reason":"stalled","lines":null})"));
      reader->reply->finish();
      *reader->gone = true;
      continue;
    }
    if (now - reader->recorded_at >= static_cast<uint64_t>(kRecordEvery.count())) {
      reader->recorded_at = now;
      reader->record();
    }
    if (now - reader->last_written_at >= static_cast<uint64_t>(kKeepAlive.count()))
      write(*reader, net::sse_comment("keep-alive"));
  }
  sweep();
  if (!readers_.empty()) timer_.arm(net::Millis{1'000});
}

void LogTail::sweep() {
  std::erase_if(readers_, [](const auto& reader) {
    if (*reader->gone) reader->record();
    return *reader->gone;
  });
}

void LogTail::close() {
  for (auto& reader : readers_) *reader->gone = true;
  sweep();
}

void LogTail::write_metrics(telemetry::PromWriter& writer) const {
  const auto number = [](uint64_t value) { return static_cast<double>(value); };
  writer.gauge("hms_collector_tail_readers", "Readers of the logs' live tail.", {},
               number(readers_.size()));
  writer.counter("hms_collector_tail_lines_total", "Lines handed to them.", {}, number(lines_));
  writer.counter("hms_collector_tail_left_out_total",
                 "Lines left out because a reader was slow or too many came.", {},
                 number(left_out_));
  writer.counter("hms_collector_tail_refused_total", "Readers beyond the bound of 64.", {},
                 number(refused_));
  writer.counter("hms_collector_tail_let_go_total", "Readers that took nothing for 30 s.", {},
                 number(let_go_));
}

}  // namespace hms::collector
