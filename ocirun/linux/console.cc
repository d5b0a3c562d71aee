// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/console.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys/file.h"
#include "ocirun/linux/tree.h"

namespace ocirun::linux_ {

namespace {

// What stands at /dev/pts/ptmx may be of the image's making: only the multiplexer of a devpts gives
// a terminal (CVE-2025-52565), and nothing else is to be waited for or to become the controlling
// terminal by being opened.
StatusOr<UniqueFd> OpenMultiplexer(const UniqueFd& root) {
  auto master = OpenInRoot(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);
  if (!master.ok()) return Annotate(master.status(), "terminal (is devpts mounted on /dev/pts?)");
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(*master));
  struct statfs fs;
  if (::fstatfs(master->get(), &fs) < 0) return SysError(errno, "fstatfs", "/dev/pts/ptmx");
  if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2) || fs.f_type != DEVPTS_SUPER_MAGIC)
    return FailedPrecondition("terminal: /dev/pts/ptmx of the container is not that of a devpts");
  if (::fcntl(master->get(), F_SETFL, 0) < 0) return SysError(errno, "fcntl F_SETFL");
  return master;
}

}  // namespace

StatusOr<Terminal> OpenTerminal(const UniqueFd& root, std::optional<oci::ConsoleSize> size) {
  Terminal terminal;
  ASSIGN_OR_RETURN(terminal.master, OpenMultiplexer(root));
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
  return OkStatus();
}

Status MakeConsole(const UniqueFd& root, const UniqueFd& slave) {
  // Made and never opened: what the image has there could be a device, or a link to the outside
  // (CVE-2026-88264).
  ASSIGN_OR_RETURN(const UniqueFd dev, OpenInRoot(root, "/dev", O_PATH | O_DIRECTORY));
  if (::mknodat(dev.get(), "console", S_IFREG | 0620, 0) < 0 && errno != EEXIST && errno != EROFS)
    return SysError(errno, "mknod", "/dev/console");
  ASSIGN_OR_RETURN(const UniqueFd target, sys::OpenAt(dev, "console", O_PATH | O_NOFOLLOW));
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(target));
  if (S_ISLNK(st.st_mode)) return SysError(ELOOP, "open", "/dev/console");
  ASSIGN_OR_RETURN(const UniqueFd tree, CloneTree(slave, false));
  return PlaceTree(tree, target);
}

}  // namespace ocirun::linux_
