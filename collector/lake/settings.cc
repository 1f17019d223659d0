#include "collector/lake/settings.h"

namespace hms::collector {

net::Result<std::unique_ptr<LakeDestination>> open_destination(const LakeSettings& settings) {
  if (settings.to.find("://") != std::string::npos)
    return net::Error{net::Code::bad_config, net::Side::self, false,
                      "lake: '" + settings.to + "' is not a folder"};
  return open_folder_destination(settings.to);
}

}  // namespace hms::collector
