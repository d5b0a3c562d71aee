// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/console.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys/file.h"
#include "base/sys/mount.h"

namespace ocirun::linux_ {

StatusOr<Terminal> OpenTerminal(const UniqueFd& root, std::optional<oci::ConsoleSize> size) {
  Terminal terminal;
  auto master = OpenInRoot(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW);
  if (!master.ok()) return Annotate(master.status(), "terminal (is devpts mounted on /dev/pts?)");
  terminal.master = std::move(*master);
  const int unlock = 0;
  if (::ioctl(terminal.master.get(), TIOCSPTLCK, &unlock) < 0)
    return SysError(errno, "ioctl TIOCSPTLCK");
  unsigned number = 0;
  if (::ioctl(terminal.master.get(), TIOCGPTN, &number) < 0)
    return SysError(errno, "ioctl TIOCGPTN");
  // By descriptor, not by name: nobody can put another device in between.
  const int slave = ::ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) return SysError(errno, "ioctl TIOCGPTPEER");
  terminal.slave = UniqueFd(slave);
  terminal.slave_name = fmt::format("/dev/pts/{}", number);
  if (size.has_value()) {
    const winsize window{size->height, size->width, 0, 0};
    if (::ioctl(terminal.slave.get(), TIOCSWINSZ, &window) < 0)
      return SysError(errno, "ioctl TIOCSWINSZ");
  }
  return terminal;
}

Status UseTerminal(const UniqueFd& slave, const oci::User& user) {
  if (::fchown(slave.get(), user.uid, static_cast<gid_t>(-1)) < 0 && errno != EPERM)
    return SysError(errno, "fchown", "terminal");
  if (::ioctl(slave.get(), TIOCSCTTY, 0) < 0) return SysError(errno, "ioctl TIOCSCTTY");
  for (int fd = 0; fd < 3; ++fd)
    if (::dup2(slave.get(), fd) < 0) return SysError(errno, "dup2");
  return absl::OkStatus();
}

Status MakeConsole(const UniqueFd& root, const UniqueFd& slave) {
  auto made = OpenInRoot(root, "/dev/console", O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0620);
  if (!made.ok() && ErrnoOf(made.status()) != EIO) return made.status();
  ASSIGN_OR_RETURN(const UniqueFd target, OpenInRoot(root, "/dev/console", O_PATH | O_NOFOLLOW));
  ASSIGN_OR_RETURN(const UniqueFd tree, sys::CloneTree(slave, false));
  return sys::MoveMount(tree, target);
}

}  // namespace ocirun::linux_
