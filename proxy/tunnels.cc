#include "proxy/tunnels.h"

#include "proxy/data_path.h"

namespace hms::proxy {

Tunnels::Tunnels(DataPath& data) : data_(data) {}
Tunnels::~Tunnels() = default;

void Tunnels::splice(SpliceStart start, std::string_view from_caller,
                     std::string_view from_service) {
  if (start.kind == TunnelKind::upgrade) {
    ++data_.count.tunnels;
    ++data_.count.tunnels_open;
  }
  ++data_.count.connections_open[static_cast<size_t>(start.direction)];
  splices_.push_back(std::make_unique<Splice>(*this, std::move(start)));
  splices_.back()->index = splices_.size() - 1;
  splices_.back()->start(from_caller, from_service);
}

size_t Tunnels::cut_all() {
  const size_t count = splices_.size();
  while (!splices_.empty()) splices_.back()->cut(TunnelEnd::drained);
  return count;
}

void Tunnels::remove(Splice& splice, TunnelEnd) {
  --data_.count.connections_open[static_cast<size_t>(splice.direction())];
  if (splice.kind() == TunnelKind::upgrade) --data_.count.tunnels_open;
  const size_t index = splice.index;
  auto gone = std::move(splices_[index]);
  if (index + 1 != splices_.size()) {
    splices_[index] = std::move(splices_.back());
    splices_[index]->index = index;
  }
  splices_.pop_back();
  data_.loop().retire(std::move(gone));
}

}  // namespace hms::proxy
