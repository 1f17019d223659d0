#include "proxy/instance.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "net/core/log.h"
#include "net/core/random.h"

namespace hms::proxy {

namespace {

/// A descriptor with an owner; -1: none.
class Descriptor {
 public:
  Descriptor(const std::string& path, int flags)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  const int fd_;
};

bool looks_like_uuid(const std::string& text) {
  return text.size() == 36 && text.find_first_not_of("0123456789abcdef-") == std::string::npos;
}

net::Error fault_of(const std::string& folder, const std::string& what) {
  return {net::Code::io, net::Side::self, false, "spool directory " + folder + ": " + what};
}

net::Error write_fault(const std::string& folder) {
  return fault_of(folder, "cannot be written: " + std::generic_category().message(errno));
}

/// On the disk before this returns, name and all: a boot number that comes again after a power cut
/// would make the collector take new batches for old ones.
net::Result<void> write_durably(const std::string& folder, const std::string& path,
                                const std::string& text) {
  {
    const Descriptor file(path + ".new", O_WRONLY | O_CREAT | O_TRUNC);
    if (file.get() < 0) return write_fault(folder);
    const ssize_t written = ::write(file.get(), text.data(), text.size());
    if (written != static_cast<ssize_t>(text.size()) || ::fsync(file.get()) != 0)
      return write_fault(folder);
  }
  if (::rename((path + ".new").c_str(), path.c_str()) != 0) return write_fault(folder);
  const Descriptor directory(folder, O_RDONLY | O_DIRECTORY);
  if (directory.get() < 0 || ::fsync(directory.get()) != 0) return write_fault(folder);
  return {};
}

}  // namespace

net::Result<Instance> load_instance(const std::string& folder) {
  Instance instance{net::uuid_text(net::uuid_v7()), 1, nullptr};
  if (folder.empty()) return instance;
  std::error_code fault;
  std::filesystem::create_directories(folder, fault);
  if (fault) return fault_of(folder, "cannot be created: " + fault.message());
  auto lock = std::make_shared<Descriptor>(folder + "/lock", O_RDWR | O_CREAT);
  if (lock->get() < 0) return write_fault(folder);
  if (::flock(lock->get(), LOCK_EX | LOCK_NB) != 0) {
    net::log_warn("the spool directory is another hms-proxy's: this one counts as a new instance",
                  {{"directory", folder}, {"instance", instance.id}});
    return instance;
  }
  const std::string path = folder + "/identity";
  if (std::ifstream file(path); file) {
    std::string id;
    uint64_t boot = 0;
    if (file >> id >> boot && looks_like_uuid(id)) {
      instance.id = id;
      instance.boot_number = boot + 1;
    }
  }
  const std::string text = instance.id + ' ' + std::to_string(instance.boot_number) + '\n';
  if (auto written = write_durably(folder, path, text); !written) return std::move(written).error();
  instance.lock = std::move(lock);
  return instance;
}

}  // namespace hms::proxy
