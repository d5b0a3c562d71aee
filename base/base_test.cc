// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <thread>

#include "base/base64.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mountinfo.h"
#include "base/passwd.h"
#include "base/path.h"
#include "base/process_handle.h"
#include "base/random.h"
#include "base/signal_names.h"
#include "base/status.h"
#include "base/subprocess.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/testing/temp_dir.h"
#include "base/time.h"
#include "base/walk.h"

namespace ocirun {
namespace {

using testing::TempDir;

TEST_CASE("a status: code, message and errno, and what is added on the way up") {
  CHECK(OkStatus().ok());
  CHECK(Status(StatusCode::kOk, "no error").ok());
  const Status status = Annotate(SysError(ENOENT, "open", "/x"), "config.json");
  CHECK(status.code() == StatusCode::kNotFound);
  CHECK(IsNotFound(status));
  CHECK(ErrnoOf(status) == ENOENT);
  CHECK(MessageOf(status) == "config.json: open /x: no such file or directory");
  Status first = OkStatus();
  first.Update(status);
  first.Update(Internal("later"));
  CHECK(ErrnoOf(first) == ENOENT);
}

TEST_CASE("a value or a status, also of types that are empty themselves") {
  const StatusOr<std::optional<int>> empty = std::nullopt;
  CHECK(empty.ok());
  CHECK_FALSE(empty->has_value());
  const StatusOr<const char*> null = nullptr;
  CHECK(null.ok());
  const StatusOr<bool> no = false;
  CHECK((no.ok() && !*no));
  const StatusOr<std::string> error = NotFound("nothing");
  CHECK_FALSE(error.ok());
  CHECK(error.value_or("otherwise") == "otherwise");
  StatusOr<std::unique_ptr<int>> owned = std::make_unique<int>(7);
  const std::unique_ptr<int> taken = *std::move(owned);
  CHECK(*taken == 7);
}

TEST_CASE("a system error keeps errno through annotations") {
  const Status status = Annotate(SysError(ENOENT, "open", "/x"), "container \"web\"");
  CHECK(ErrnoOf(status) == ENOENT);
  CHECK(MessageOf(status) == "container \"web\": open /x: no such file or directory");
  CHECK(status.code() == StatusCode::kNotFound);
}

TEST_CASE("JSON errors name the path") {
  const auto json = ParseJson(R"({"process":{"args":["a",7]}})");
  REQUIRE(json.ok());
  const auto args = JsonView(*json).Get("process")->Get("args")->Strings();
  REQUIRE_FALSE(args.ok());
  CHECK(MessageOf(args.status()) == "process.args[1]: must be a string, not number");
  CHECK(MessageOf(ParseJson("{\n \"a\": }").status()) == "line 2, column 7: not valid JSON");
  CHECK_FALSE(ParseJson(std::string(100, '[') + std::string(100, ']')).ok());
}

TEST_CASE("a path that climbs stays inside the root") {
  TempDir dir;
  REQUIRE(MakeDirs(dir.path + "/root/in", 0755).ok());
  REQUIRE(WriteFile(dir.path + "/secret", "host").ok());
  REQUIRE(::symlink("/../../secret", (dir.path + "/root/in/link").c_str()) == 0);
  const auto root = sys::Open(dir.path + "/root", O_PATH | O_DIRECTORY);
  REQUIRE(root.ok());
  CHECK(ErrnoOf(OpenInRoot(*root, "../secret", O_RDONLY).status()) == ENOENT);
  CHECK(ErrnoOf(OpenInRoot(*root, "in/link", O_RDONLY).status()) == ENOENT);
  CHECK(MakeDirsInRoot(*root, "../../made/here", 0755).ok());
  CHECK(PathExists(dir.path + "/root/made/here"));
  // A link that leads nowhere is followed inside the root, and its target made there.
  REQUIRE(::symlink("/../far/away", (dir.path + "/root/dangling").c_str()) == 0);
  CHECK(MakeDirsInRoot(*root, "dangling/x", 0755).ok());
  CHECK(PathExists(dir.path + "/root/far/away/x"));
  REQUIRE(::symlink("loop", (dir.path + "/root/loop").c_str()) == 0);
  CHECK(ErrnoOf(MakeDirsInRoot(*root, "loop/x", 0755).status()) == ELOOP);
}

// What both say of a path: the same file, or the same error.
void CheckAlike(const UniqueFd& root, const std::string& path, int flags, uint64_t resolve) {
  CAPTURE(path);
  CAPTURE(flags);
  CAPTURE(resolve);
  const auto kernels = sys::OpenAt2(root, path, static_cast<uint64_t>(flags), resolve);
  const auto ours = Walk(root, path, flags, resolve, 0);
  CHECK(ErrnoOf(ours.status()) == ErrnoOf(kernels.status()));
  if (!kernels.ok() || !ours.ok()) return;
  CHECK(sys::Stat(*ours)->st_ino == sys::Stat(*kernels)->st_ino);
  CHECK(sys::Stat(*ours)->st_dev == sys::Stat(*kernels)->st_dev);
}

// Folders and files with every kind of link among them; its root is `top`.
struct Tangle {
  TempDir dir;
  std::string top = dir.path + "/root";

  Tangle() {
    REQUIRE(MakeDirs(top + "/a/b/c", 0755).ok());
    REQUIRE(WriteFile(top + "/a/file", "x").ok());
    REQUIRE(WriteFile(dir.path + "/outside", "x").ok());
    const std::pair<const char*, const char*> links[] = {{"relative", "a/b"},
                                                         {"absolute", "/a/b"},
                                                         {"climbs", "../../../a/file"},
                                                         {"top", "/"},
                                                         {"slash", "a/"},
                                                         {"file_slash", "a/file/"},
                                                         {"dangling", "nowhere"},
                                                         {"loop", "loop"},
                                                         {"through", "relative/../file"},
                                                         {"a/out", "../outside"}};
    for (const auto& [name, target] : links) Link(target, name);
    for (int i = 0; i < 41; ++i)
      Link(i == 0 ? "a" : fmt::format("chain{}", i - 1), fmt::format("chain{}", i));
  }

  void Link(const std::string& target, const std::string& name) const {
    REQUIRE(::symlink(target.c_str(), (top + "/" + name).c_str()) == 0);
  }
};

constexpr const char* kWays[] = {
    ".", "/", "..", "../..", "a", "/a", "a/", "a/.", "./a", "a//b", "a/b/..", "a/b/../file",
    "a/file", "a/file/", "a/file/.", "a/file/..", "a/file/x", "none", "none/x", "relative",
    "relative/", "relative/c", "relative/..", "absolute", "absolute/c", "climbs", "top",
    "top/a/file", "slash", "file_slash", "dangling", "dangling/x", "loop", "loop/x", "through",
    "a/out", "../outside", "a/b/c/../../../../../a/file",
    // The kernel goes on counting when it walks again, up to three times: 13 links are always few
    // enough, and 41 too many.
    "chain12", "chain40", "chain12/file", "a/b/c/", "relative/.", "top/..", ""};

void CheckAlikeInEveryWay(const UniqueFd& root, const char* path) {
  for (const int flags : {O_PATH, O_RDONLY, O_WRONLY, O_PATH | O_NOFOLLOW, O_RDONLY | O_NOFOLLOW,
                          O_PATH | O_DIRECTORY, O_PATH | O_NOFOLLOW | O_DIRECTORY})
    for (const uint64_t how : {RESOLVE_IN_ROOT, RESOLVE_BENEATH})
      for (const uint64_t also : {RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV})
        CheckAlike(root, path, flags, how | also | RESOLVE_NO_MAGICLINKS);
}

TEST_CASE("a walk without openat2 goes where openat2 goes") {
  const Tangle tangle;
  const auto root = sys::Open(tangle.top, O_PATH | O_DIRECTORY);
  REQUIRE(root.ok());
  for (const char* path : kWays) CheckAlikeInEveryWay(*root, path);
  CHECK(Walk(*root, "chain39/file", O_PATH, RESOLVE_IN_ROOT, 0).ok());
}

TEST_CASE("a walk without openat2 follows no magic link and stays on one procfs") {
  const auto proc = sys::Open("/proc", O_PATH | O_DIRECTORY);
  REQUIRE(proc.ok());
  for (const char* path : {"self/status", "self", "thread-self/status", "mounts", "net/dev",
                           "self/exe", "self/root", "self/root/etc", "self/cwd/x", "self/fd/0",
                           "self/ns/mnt", "sys/kernel/ostype", "sys/fs/binfmt_misc/status"})
    for (const int flags : {O_PATH, O_RDONLY, O_PATH | O_NOFOLLOW})
      for (const uint64_t also : {RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS})
        CheckAlike(*proc, path, flags, RESOLVE_BENEATH | RESOLVE_NO_XDEV | also);
  const auto top = sys::Open("/", O_PATH | O_DIRECTORY);
  CHECK(ErrnoOf(Walk(*top, "proc", O_PATH, RESOLVE_BENEATH | RESOLVE_NO_XDEV, 0).status()) ==
        EXDEV);
}

TEST_CASE("a walk without openat2 does not leave the root with a folder that is moved") {
  TempDir dir;
  REQUIRE(MakeDirs(dir.path + "/root/in/a/b", 0755).ok());
  REQUIRE(MakeDirs(dir.path + "/out", 0755).ok());
  REQUIRE(WriteFile(dir.path + "/out/secret", "host").ok());
  REQUIRE(WriteFile(dir.path + "/root/in/mine", "mine").ok());
  std::atomic<bool> end = false;
  std::thread mover([&] {
    const std::string inside = dir.path + "/root/in/a", outside = dir.path + "/out/a";
    while (!end) {
      ::rename(inside.c_str(), outside.c_str());
      ::rename(outside.c_str(), inside.c_str());
    }
  });
  const auto root = sys::Open(dir.path + "/root", O_PATH | O_DIRECTORY);
  int opened = 0;
  for (int i = 0; i < 3000; ++i) {
    CHECK_FALSE(Walk(*root, "in/a/b/../../secret", O_PATH, RESOLVE_IN_ROOT, 0).ok());
    if (Walk(*root, "in/a/b/../../mine", O_PATH, RESOLVE_IN_ROOT, 0).ok()) ++opened;
  }
  end = true;
  mover.join();
  CHECK(opened > 0);
}

TEST_CASE("a process handle is of the process that began then, and tells its end") {
  const pid_t pid = ::fork();
  if (pid == 0)
    for (;;) ::pause();
  const auto start = sys::ProcessStartTime(pid);
  REQUIRE(start.ok());
  CHECK(ErrnoOf(ProcessHandle::Open(pid, *start + 1).status()) == ESRCH);
  const auto handle = ProcessHandle::Open(pid, *start);
  REQUIRE(handle.ok());
  std::vector<pollfd> fds(1);
  CHECK(handle->Poll(&fds, 0) == 0);
  CHECK_FALSE(handle->HasEnded());
  CHECK(handle->Signal(SIGKILL).ok());
  CHECK(handle->Poll(&fds, 10'000) == 1);
  CHECK(fds[0].revents == POLLIN);
  CHECK(handle->HasEnded());
  // It is a zombie still.
  CHECK(ErrnoOf(ProcessHandle::Open(pid, *start).status()) == ESRCH);
  CHECK(sys::WaitPid(pid).ok());
  CHECK_FALSE(handle->Signal(SIGKILL).ok());
}

TEST_CASE("an atomic write leaves no temporary file") {
  TempDir dir;
  CHECK(WriteFileAtomic(dir.path + "/f", "one").ok());
  CHECK(WriteFileDurable(dir.path + "/f", "two", 0600).ok());
  CHECK(*ReadFile(dir.path + "/f") == "two");
  CHECK_FALSE(WriteFileAtomic(dir.path + "/none/f", "x").ok());
  CHECK(ReadFile(dir.path + "/f", 2).status().code() == StatusCode::kResourceExhausted);
}

TEST_CASE("a user's line of passwd, and none that only looks like one") {
  constexpr std::string_view kText =
      "root:x:0:0:root:/root:/bin/sh\n\nshort:x:7\nweb::33:33::/var/www\nother:x:33:33::/x:/bin/"
      "sh\n"
      "+::::::\n1:x:2:3:4:5";
  CHECK(FindPasswd(kText, 0)->home == "/root");
  CHECK(FindPasswd(kText, 33)->name == "web");
  CHECK(FindPasswd(kText, 33)->home == "/var/www");
  CHECK(FindPasswd(kText, 2)->home == "5");
  CHECK(!FindPasswd(kText, 7).has_value());
  CHECK(!FindPasswd("", 0).has_value());
}

TEST_CASE("base64, and what only looks like it") {
  CHECK(*DecodeBase64("") == "");
  CHECK(*DecodeBase64("Zm9vYg==") == "foob");
  CHECK(*DecodeBase64("Zm9vYmE=") == "fooba");
  CHECK(*DecodeBase64("+/+/AAD/") == std::string("\xfb\xff\xbf\0\0\xff", 6));
  for (const char* bad : {"Zg=", "Zg", "====", "Z===", "Zm9v\n", "Zm 9", "Zg==Zg==", "_-__"})
    CHECK(!DecodeBase64(bad).ok());
}

TEST_CASE("times are written as Go writes them") {
  CHECK(FormatRfc3339Nano(1649161706942068860) == "2022-04-05T12:28:26.94206886Z");
  CHECK(FormatRfc3339Nano(0) == "1970-01-01T00:00:00Z");
  CHECK(*ParseRfc3339("2022-04-05T14:28:26.94206886+02:00") == 1649161706942068860);
  CHECK_FALSE(ParseRfc3339("2022-04-05").ok());
}

TEST_CASE("signals by number and by name") {
  CHECK(*ParseSignal("9") == SIGKILL);
  CHECK(*ParseSignal("term") == SIGTERM);
  CHECK(*ParseSignal("SIGRTMIN+3") == 37);
  CHECK(SignalName(SIGKILL) == "SIGKILL");
  for (const char* bad : {"", "0", "65", "SIGNOPE", "RTMIN+99", "9x"})
    CHECK_FALSE(ParseSignal(bad).ok());
}

TEST_CASE("a signal goes to one process, never to a group or to all") {
  for (const pid_t pid : {0, -1, -::getpgrp()}) CHECK(ErrnoOf(sys::Kill(pid, 0)) == ESRCH);
  CHECK(sys::Kill(::getpid(), 0).ok());
}

TEST_CASE("mounts are visited as the whole text has them, and no further than asked") {
  const auto all = ParseMountInfo(*ReadFile("/proc/self/mountinfo"));
  std::vector<std::string> visited;
  REQUIRE(VisitMounts([&](const MountInfo& mount) {
            visited.push_back(mount.mount_point + " " + mount.type);
            return true;
          }).ok());
  // Others mount meanwhile; the first ones stay.
  REQUIRE(all.size() > 3);
  REQUIRE(visited.size() > 3);
  for (size_t i = 0; i < 3; ++i) CHECK(visited[i] == all[i].mount_point + " " + all[i].type);
  size_t count = 0;
  REQUIRE(VisitMounts([&](const MountInfo&) { return ++count < 2; }).ok());
  CHECK(count == 2);
}

TEST_CASE("a command gets its input and gives its output and status") {
  const auto run = [](const char* script, int timeout_ms = 10'000) {
    return RunCommand({.path = "/bin/sh",
                       .args = {"sh", "-c", script},
                       .env = {"PATH=/usr/bin:/bin"},
                       .input = std::string(200'000, 'x'),
                       .timeout = std::chrono::milliseconds(timeout_ms)});
  };
  const auto counted = run("wc -c; echo bad >&2; exit 3");
  REQUIRE(counted.ok());
  CHECK(counted->output == "200000\n");
  CHECK(counted->error_output == "bad\n");
  CHECK(sys::ExitCodeOf(counted->wait_status) == 3);
  CHECK(run("exec 0<&-; exit 0").ok());  // input that nobody reads
  CHECK(run("sleep 100", 50).status().code() == StatusCode::kDeadlineExceeded);
  CHECK(ErrnoOf(RunCommand({.path = "/nonexistent"}).status()) == ENOENT);
}

TEST_CASE("random ids differ") {
  CHECK(RandomHex(32).size() == 64);
  CHECK(RandomHex(32) != RandomHex(32));
}

}  // namespace
}  // namespace ocirun
