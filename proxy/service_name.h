// service_name.h: the name of the service beside the proxy, when nobody gave one.
//
// In this order: OTEL_SERVICE_NAME, service.name in OTEL_RESOURCE_ATTRIBUTES, the pod's label
// app.kubernetes.io/name or app (downward API file /etc/podinfo/labels), the program that listens
// on the app's port (/proc/net/tcp -> inode -> /proc/*/fd; an interpreter's script gives its own
// name), else "unknown_service". (HMS_SERVICE and --service come before, see options.h.) Thread:
// start-up.
#pragma once

#include <cstdint>
#include <string>

namespace hms::proxy {

struct ServiceNameSources {
  std::string labels_file = "/etc/podinfo/labels";
  std::string proc = "/proc";
};

[[nodiscard]] std::string find_service_name(uint16_t app_port,
                                            const ServiceNameSources& sources = {});

/// `app.kubernetes.io/name="claims"` lines, as the downward API writes them.
[[nodiscard]] std::string name_from_labels(const std::string& text);
/// "python3 /srv/claims/server.py" -> "server", "node dist/main.js" -> "main", "/usr/bin/claims" ->
/// "claims".
[[nodiscard]] std::string name_from_command(const std::string& comm,
                                            const std::string& command_line);

}  // namespace hms::proxy
