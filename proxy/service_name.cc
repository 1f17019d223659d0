#include "proxy/service_name.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace hms::proxy {

namespace {

constexpr size_t kMaxFileBytes = 256 * 1024;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxFileBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return text;
}

std::string cleaned(std::string name) {
  std::erase_if(name, [](char c) { return c <= 0x20 || c >= 0x7f || c == '"'; });
  if (name.size() > 255) name.resize(255);
  return name;
}

/// Inodes of the sockets that listen on `port`.
std::vector<std::string> listening_inodes(const std::string& table, uint16_t port) {
  std::vector<std::string> inodes;
  std::istringstream lines(table);
  std::string line;
  std::getline(lines, line);  // heading
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state, skip, inode;
    fields >> slot >> local >> remote >> state;
    for (int i = 0; i < 5; ++i) fields >> skip;
    fields >> inode;
    const size_t colon = local.rfind(':');
    if (state != "0A" || colon == std::string::npos || inode.empty()) continue;
    if (std::strtoul(local.c_str() + colon + 1, nullptr, 16) == port)
      inodes.push_back("socket:[" + inode + "]");
  }
  return inodes;
}

bool holds_socket(const std::filesystem::path& process, const std::vector<std::string>& inodes) {
  std::error_code fault;
  for (std::filesystem::directory_iterator at(process / "fd", fault), end; !fault && at != end;
       at.increment(fault)) {
    std::error_code unreadable;
    const auto link = std::filesystem::read_symlink(at->path(), unreadable);
    if (!unreadable && std::find(inodes.begin(), inodes.end(), link.string()) != inodes.end())
      return true;
  }
  return false;
}

std::string name_of_listener(const std::string& proc, uint16_t port) {
  auto inodes = listening_inodes(read_file(proc + "/net/tcp"), port);
  for (const auto& inode : listening_inodes(read_file(proc + "/net/tcp6"), port))
    inodes.push_back(inode);
  if (inodes.empty()) return {};
  std::error_code fault;
  for (std::filesystem::directory_iterator at(proc, fault), end; !fault && at != end;
       at.increment(fault)) {
    const std::string id = at->path().filename().string();
    if (id.find_first_not_of("0123456789") != std::string::npos ||
        !holds_socket(at->path(), inodes))
      continue;
    return name_from_command(read_file(at->path() / "comm"), read_file(at->path() / "cmdline"));
  }
  return {};
}

std::string from_environment() {
  if (const char* name = std::getenv("OTEL_SERVICE_NAME"); name != nullptr && *name != '\0')
    return cleaned(name);
  const char* attributes = std::getenv("OTEL_RESOURCE_ATTRIBUTES");
  if (attributes == nullptr) return {};
  std::istringstream pairs(attributes);
  std::string pair;
  while (std::getline(pairs, pair, ',')) {
    if (pair.rfind("service.name=", 0) == 0) return cleaned(pair.substr(13));
  }
  return {};
}

}  // namespace

std::string name_from_labels(const std::string& text) {
  std::string by_name, by_app;
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line)) {
    const size_t equals = line.find('=');
    if (equals == std::string::npos) continue;
    const std::string key = line.substr(0, equals);
    if (key == "app.kubernetes.io/name")
      by_name = cleaned(line.substr(equals + 1));
    else if (key == "app")
      by_app = cleaned(line.substr(equals + 1));
  }
  return by_name.empty() ? by_app : by_name;
}

std::string name_from_command(const std::string& comm, const std::string& command_line) {
  static constexpr std::array kInterpreters = {"python", "node", "perl", "ruby", "php",
                                               "java",   "sh",   "bash", "deno", "bun"};
  const auto stem = [](const std::string& path) {
    return std::filesystem::path(path).stem().string();
  };
  std::vector<std::string> arguments;
  std::istringstream parts(command_line);
  std::string part;
  while (std::getline(parts, part, '\0')) arguments.push_back(part);
  const std::string program =
      arguments.empty() ? comm : std::filesystem::path(arguments[0]).filename().string();
  const bool interpreted =
      std::any_of(kInterpreters.begin(), kInterpreters.end(),
                  [&program](const char* i) { return program.rfind(i, 0) == 0; });
  if (!interpreted) return cleaned(program);
  for (size_t i = 1; i < arguments.size(); ++i) {
    if (arguments[i] == "-m" || arguments[i] == "-jar")
      return i + 1 < arguments.size() ? cleaned(stem(arguments[i + 1])) : cleaned(program);
    if (!arguments[i].empty() && arguments[i][0] != '-') return cleaned(stem(arguments[i]));
  }
  return cleaned(program);
}

std::string find_service_name(uint16_t app_port, const ServiceNameSources& sources) {
  if (auto name = from_environment(); !name.empty()) return name;
  if (auto name = name_from_labels(read_file(sources.labels_file)); !name.empty()) return name;
  if (app_port != 0) {
    if (auto name = name_of_listener(sources.proc, app_port); !name.empty()) return name;
  }
  return "unknown_service";
}

}  // namespace hms::proxy
