#include "collector/api/backup_api.h"

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>

#include "collector/api/query_task.h"
#include "net/core/log.h"

namespace hms::collector {
namespace {

QueryAnswer back_up(StorageEngine& engine, const std::string& directory) {
  const auto made = engine.backup(directory);
  if (!made.ok()) {
    net::log_error("the backup failed", {{"error", made.error().detail}});
    return error_answer(500, "internal", made.error().detail);
  }
  net::log_info("a backup was made", {{"directory", directory}, {"id", made->id}});
  const nlohmann::json body = {{"id", made->id},
                               {"bytes", made->bytes},
                               {"files", made->files},
                               {"made_unix_seconds", made->made_unix_seconds}};
  return {200, body.dump()};
}

}  // namespace

void register_backup_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                         StorageEngine& engine, const std::string& directory) {
  auto running = std::make_shared<std::atomic<bool>>(false);
  server.route(
      "POST", "/ops/backup",
      [&loop, &executor, &engine, directory, running](net::Request&, const net::ReplyPtr& reply) {
        if (directory.empty()) {
          return net::send_error(*reply, 404, "not_found",
                                 "backups are off; start the collector with --backup-dir DIR");
        }
        if (running->exchange(true))
          return net::send_error(*reply, 409, "conflict", "a backup is being made");
        // Given back when the work is done or was refused: then the last copy goes.
        const std::shared_ptr<void> finished(nullptr, [running](void*) { running->store(false); });
        QueryLimits as_long_as_it_takes;
        as_long_as_it_takes.deadline = net::Millis{86'400'000};
        run_query(
            loop, executor, reply,
            [&engine, directory, finished](const auto&) { return back_up(engine, directory); },
            as_long_as_it_takes);
      });
}

}  // namespace hms::collector
