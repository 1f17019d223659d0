#include "proxy/identity.h"

#include <filesystem>
#include <fstream>

#include "net/core/random.h"

namespace hms::proxy {

namespace {

bool looks_like_uuid(const std::string& text) {
  return text.size() == 36 && text.find_first_not_of("0123456789abcdef-") == std::string::npos;
}

}  // namespace

net::Result<Identity> load_identity(const std::string& folder) {
  Identity identity{net::uuid_text(net::uuid_v7()), 1};
  if (folder.empty()) return identity;
  const auto wrong = [&folder](const std::string& what) {
    return net::Error{net::Code::io, net::Side::self, false,
                      "spool directory " + folder + ": " + what};
  };
  std::error_code fault;
  std::filesystem::create_directories(folder, fault);
  if (fault) return wrong("cannot be created: " + fault.message());
  const std::string path = folder + "/identity";
  if (std::ifstream file(path); file) {
    std::string id;
    uint64_t boot = 0;
    if (file >> id >> boot && looks_like_uuid(id)) identity = {id, boot + 1};
  }
  {
    std::ofstream file(path + ".new", std::ios::trunc);
    file << identity.instance_id << ' ' << identity.boot_number << '\n';
    file.flush();
    if (!file) return wrong("cannot be written");
  }
  std::filesystem::rename(path + ".new", path, fault);
  if (fault) return wrong("cannot be written: " + fault.message());
  return identity;
}

}  // namespace hms::proxy
