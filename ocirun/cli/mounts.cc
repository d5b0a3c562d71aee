// SPDX-License-Identifier: Apache-2.0
//
// mounts: adds mounts to a running container, and removes them, as crun's.
#include "base/file.h"
#include "ocirun/cli/cli.h"
#include "ocirun/container/lifecycle.h"

namespace ocirun::cli {
namespace {

StatusOr<std::vector<oci::Mount>> ReadMounts(const std::string& file) {
  ASSIGN_OR_RETURN(const std::string folder, BundleFolder(""));
  ASSIGN_OR_RETURN(const std::string text, ReadFile(file == "-" ? "/dev/stdin" : file));
  auto mounts = oci::ParseMounts(text, folder);
  if (!mounts.ok()) return Annotate(mounts.status(), file);
  return mounts;
}

}  // namespace

void DescribeMounts(CliCommand* command) {
  command->run = [command](const Global& global) -> StatusOr<int> {
    const std::string &what = command->word(0), &id = command->word(1);
    if (what != "add" && what != "remove")
      return InvalidArgument("mounts: {:?} is neither add nor remove", what);
    ASSIGN_OR_RETURN(const std::vector<oci::Mount> mounts, ReadMounts(command->word(2)));
    RETURN_IF_ERROR(what == "add" ? container::AddMounts(global.store(), id, mounts)
                                  : container::RemoveMounts(global.store(), id, mounts));
    return 0;
  };
}

}  // namespace ocirun::cli
