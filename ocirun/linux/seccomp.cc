// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/seccomp.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include "base/base64.h"
#include "base/file.h"
#include "base/sys/file.h"
#include "ocirun/log/log.h"

namespace ocirun::linux_ {
namespace {

constexpr size_t kMaxFilterBytes = 65535 * sizeof(sock_filter);
// Part of the name of a cached filter: to be raised when the same profile compiles differently.
constexpr unsigned kFormat = 2;
constexpr unsigned kWaitKillable = 1u << 5;  // SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, Linux 5.19

bool Notifies(const oci::Seccomp& profile) {
  return std::any_of(profile.syscalls.begin(), profile.syscalls.end(),
                     [](const oci::SeccompRule& rule) { return rule.action == "SCMP_ACT_NOTIFY"; });
}

struct ContextRelease {
  void operator()(scmp_filter_ctx context) const { ::seccomp_release(context); }
};
using Context = std::unique_ptr<void, ContextRelease>;

constexpr struct {
  std::string_view name;
  uint32_t action;
  bool takes_number;  // errnoRet
} kActions[] = {{"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD, false},
                {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS, false},
                {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD, false},
                {"SCMP_ACT_TRAP", SCMP_ACT_TRAP, false},
                {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0), true},
                {"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0), true},
                {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW, false},
                {"SCMP_ACT_LOG", SCMP_ACT_LOG, false},
                {"SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY, false}};

StatusOr<uint32_t> Action(const std::string& name, std::optional<uint32_t> errno_ret) {
  for (const auto& entry : kActions) {
    if (entry.name != name) continue;
    constexpr uint32_t kMaxNumber = 0xffff;
    if (errno_ret.value_or(0) > kMaxNumber)
      return InvalidArgument("linux.seccomp: errnoRet {} is above {}", *errno_ret, kMaxNumber);
    return entry.takes_number ? entry.action | errno_ret.value_or(EPERM) : entry.action;
  }
  return InvalidArgument("linux.seccomp: unknown action {:?}", name);
}

constexpr struct {
  std::string_view name;
  scmp_compare op;
} kOperators[] = {{"SCMP_CMP_NE", SCMP_CMP_NE},
                  {"SCMP_CMP_LT", SCMP_CMP_LT},
                  {"SCMP_CMP_LE", SCMP_CMP_LE},
                  {"SCMP_CMP_EQ", SCMP_CMP_EQ},
                  {"SCMP_CMP_GE", SCMP_CMP_GE},
                  {"SCMP_CMP_GT", SCMP_CMP_GT},
                  {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};

StatusOr<scmp_compare> Operator(const std::string& name) {
  for (const auto& entry : kOperators)
    if (entry.name == name) return entry.op;
  return InvalidArgument("linux.seccomp: unknown operator {:?}", name);
}

// config-linux.md#seccomp.
constexpr std::string_view kArchitectures[] = {
    "SCMP_ARCH_AARCH64",  "SCMP_ARCH_ARM",         "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",      "SCMP_ARCH_MIPS64N32",   "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PARISC",      "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",      "SCMP_ARCH_PPC64",       "SCMP_ARCH_PPC64LE",     "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",     "SCMP_ARCH_S390X",       "SCMP_ARCH_SH",          "SCMP_ARCH_SHEB",
    "SCMP_ARCH_X32",      "SCMP_ARCH_X86",         "SCMP_ARCH_X86_64"};
// Architectures of the specification that this libseccomp does not know. None can be ours, and a
// call of an architecture that a filter does not name is killed.
constexpr std::string_view kForeign[] = {"SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH",
                                         "SCMP_ARCH_SHEB"};

// "SCMP_ARCH_X86_64" -> what libseccomp calls "x86_64"; 0 for a foreign one.
StatusOr<uint32_t> Architecture(const std::string& name) {
  constexpr std::string_view kPrefix = "SCMP_ARCH_";
  if (std::find(std::begin(kForeign), std::end(kForeign), name) != std::end(kForeign)) return 0u;
  if (name.rfind(kPrefix, 0) == 0) {
    std::string bare = name.substr(kPrefix.size());
    for (char& c : bare) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    const uint32_t token = ::seccomp_arch_resolve_name(bare.c_str());
    if (token != 0) return token;
  }
  return InvalidArgument("linux.seccomp: unknown architecture {:?}", name);
}

constexpr struct {
  std::string_view name;
  unsigned flag;
} kFlags[] = {{"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
              {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
              {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
              {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", kWaitKillable}};

StatusOr<unsigned> Flags(const oci::Seccomp& profile) {
  // Without a word about it, the mitigations against speculation that a filter brings are left out:
  // they cost every process of the container, and the kernel itself no longer asks for them (5.16).
  if (!profile.flags.has_value() && !Notifies(profile)) return SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  unsigned flags = 0;
  for (const std::string& name : profile.flags.value_or(std::vector<std::string>())) {
    const auto* found = std::find_if(std::begin(kFlags), std::end(kFlags),
                                     [&](const auto& entry) { return entry.name == name; });
    if (found == std::end(kFlags))
      return InvalidArgument("linux.seccomp.flags: unknown flag {:?}", name);
    flags |= found->flag;
  }
  // A process of one thread has nobody to synchronise with.
  flags &= ~unsigned{SECCOMP_FILTER_FLAG_TSYNC};
  if (!Notifies(profile)) {
    if ((flags & kWaitKillable) != 0)
      return InvalidArgument("linux.seccomp.flags: {} needs a rule with SCMP_ACT_NOTIFY",
                             "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV");
    return flags;
  }
  return flags | SECCOMP_FILTER_FLAG_NEW_LISTENER;
}

// The listener's descriptor is sent by sendmsg(2), and a warning written, after the filter is in
// force and before anybody can answer for it.
Status CheckNotify(const oci::Seccomp& profile) {
  constexpr std::string_view kNotify = "SCMP_ACT_NOTIFY";
  if (profile.default_action == kNotify)
    return InvalidArgument("linux.seccomp: SCMP_ACT_NOTIFY cannot be used as default action");
  for (const oci::SeccompRule& rule : profile.syscalls)
    for (const char* name : {"sendmsg", "write"})
      if (rule.action == kNotify &&
          std::find(rule.names.begin(), rule.names.end(), name) != rule.names.end())
        return InvalidArgument("linux.seccomp: SCMP_ACT_NOTIFY cannot be used for the {} syscall",
                               name);
  if (Notifies(profile) && profile.listener_path.empty())
    return InvalidArgument("linux.seccomp: SCMP_ACT_NOTIFY needs listenerPath");
  return OkStatus();
}

Status AddRule(const Context& context, const oci::SeccompRule& rule, uint32_t default_action) {
  ASSIGN_OR_RETURN(const uint32_t action, Action(rule.action, rule.errno_ret));
  if (action == default_action) return OkStatus();  // libseccomp refuses it as an error
  std::vector<scmp_arg_cmp> args;
  bool repeated = false;
  unsigned seen = 0;
  for (const oci::SeccompArg& arg : rule.args) {
    ASSIGN_OR_RETURN(const scmp_compare op, Operator(arg.op));
    args.push_back({arg.index, op, arg.value, arg.value_two});
    repeated = repeated || (seen >> arg.index & 1);
    seen |= 1u << arg.index;
  }
  for (const std::string& name : rule.names) {
    const int number = ::seccomp_syscall_resolve_name(name.c_str());
    if (number == __NR_SCMP_ERROR) continue;
    // Several conditions on one argument are alternatives: one rule each (as runc reads them).
    const size_t rules = repeated ? args.size() : 1;
    for (size_t i = 0; i < rules; ++i) {
      const scmp_arg_cmp* first = repeated ? &args[i] : args.data();
      const unsigned count = repeated ? 1 : static_cast<unsigned>(args.size());
      const int result = ::seccomp_rule_add_array(context.get(), action, number, count, first);
      if (result < 0 && result != -EEXIST) return SysError(-result, "seccomp rule", name);
    }
  }
  return OkStatus();
}

StatusOr<std::string> Export(const Context& context) {
  const UniqueFd memory(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!memory) return SysError(errno, "memfd_create");
  const int result = ::seccomp_export_bpf(context.get(), memory.get());
  if (result < 0) return SysError(-result, "seccomp_export_bpf");
  if (::lseek(memory.get(), 0, SEEK_SET) < 0) return SysError(errno, "lseek");
  return sys::ReadAll(memory, kMaxFilterBytes);
}

// A filter that says "no" to calls it does not name would say EPERM to a call that is younger than
// the profile, and a C library that probes for it would not fall back to the older one. So what is
// above every call that the profile names is answered with ENOSYS, as a kernel without it would.
//
//   load the architecture
//   for each of the filter:  is it that one?
//     load the number; above the last that is named (and no x32 call)?  return ENOSYS
//     else go to the filter
std::string UnknownCallStub(const oci::Seccomp& profile, const std::vector<uint32_t>& tokens) {
  constexpr uint32_t kArchitecture = offsetof(seccomp_data, arch),
                     kNumber = offsetof(seccomp_data, nr);
  constexpr uint32_t kX32 = 0x40000000;
  std::vector<sock_filter> blocks;
  for (const uint32_t token : tokens) {
    uint32_t last = 0;
    for (const oci::SeccompRule& rule : profile.syscalls)
      for (const std::string& name : rule.names) {
        const int number = ::seccomp_syscall_resolve_name_arch(token, name.c_str());
        if (number >= 0) last = std::max(last, static_cast<uint32_t>(number));
      }
    if (last == 0) continue;
    blocks.insert(
        blocks.end(),
        {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, token, 0, 5),
         BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kNumber),
         BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, token == SCMP_ARCH_X86_64 ? kX32 : ~0u, 2, 0),
         BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last, 0, 1),
         BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS), BPF_STMT(BPF_JMP | BPF_JA, 0)});
  }
  if (blocks.empty()) return {};
  for (size_t i = 5; i < blocks.size(); i += 6)
    blocks[i].k = static_cast<uint32_t>(blocks.size() - i - 1);
  blocks.insert(blocks.begin(), BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kArchitecture));
  return std::string(reinterpret_cast<const char*>(blocks.data()),
                     blocks.size() * sizeof(sock_filter));
}

// A default action that lets calls through lets unknown ones through, too.
bool LetsThrough(const std::string& action) {
  return action == "SCMP_ACT_ALLOW" || action == "SCMP_ACT_LOG" || action == "SCMP_ACT_TRACE";
}

// FNV-1a, twice over with different seeds: 128 bits. The folder is owner-only, so this guards
// against mix-ups and torn writes, not against an enemy who can write there.
class Hash {
 public:
  void Add(std::string_view text) {
    Byte(text.size());
    for (const char c : text) Byte(static_cast<unsigned char>(c));
  }
  void Add(uint64_t number) {
    for (int i = 0; i < 8; ++i) Byte(number >> (8 * i) & 0xff);
  }
  [[nodiscard]] std::string Hex() const { return fmt::format("{:016x}{:016x}", a_, b_); }

 private:
  void Byte(uint64_t byte) {
    a_ = (a_ ^ byte) * 0x100000001b3;
    b_ = (b_ ^ (byte + 0x5bd1)) * 0x100000001b3;
  }
  uint64_t a_ = 0xcbf29ce484222325, b_ = 0x84222325cbf29ce4;
};

std::string CacheKey(const oci::Seccomp& profile) {
  Hash hash;
  hash.Add(uint64_t{kFormat});
  const scmp_version* version = ::seccomp_version();
  hash.Add(uint64_t{version->major} << 32 | version->minor << 16 | version->micro);
  hash.Add(uint64_t{::seccomp_arch_native()});
  hash.Add(profile.default_action);
  hash.Add(uint64_t{profile.default_errno_ret.value_or(EPERM)});
  for (const std::string& architecture : profile.architectures) hash.Add(architecture);
  for (const oci::SeccompRule& rule : profile.syscalls) {
    for (const std::string& name : rule.names) hash.Add(name);
    hash.Add(rule.action);
    hash.Add(uint64_t{rule.errno_ret.value_or(EPERM)});
    for (const oci::SeccompArg& arg : rule.args) {
      hash.Add(arg.op);
      hash.Add(uint64_t{arg.index});
      hash.Add(arg.value);
      hash.Add(arg.value_two);
    }
  }
  return hash.Hex();
}

std::string DigestOf(std::string_view bpf) {
  Hash hash;
  hash.Add(bpf);
  return hash.Hex();
}

// The cached filter; empty when there is none that can be trusted.
std::string ReadCache(const std::string& path) {
  auto fd = sys::Open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!fd.ok()) return {};
  const auto st = sys::Stat(*fd);
  if (!st.ok() || !S_ISREG(st->st_mode) || st->st_uid != ::geteuid() || (st->st_mode & 022) != 0)
    return {};
  auto data = sys::ReadAll(*fd, kMaxFilterBytes + 32);
  if (!data.ok() || data->size() < 32) return {};
  std::string bpf = data->substr(32);
  if (bpf.size() % sizeof(sock_filter) != 0 || DigestOf(bpf) != data->substr(0, 32)) return {};
  return bpf;
}

}  // namespace

StatusOr<SeccompFilter> CompileSeccomp(const oci::Seccomp& profile) {
  ASSIGN_OR_RETURN(const uint32_t default_action,
                   Action(profile.default_action, profile.default_errno_ret));
  const Context context(::seccomp_init(default_action));
  if (!context) return Internal("seccomp_init failed");
  // A binary tree over system call numbers: fewer instructions on every call of the container.
  (void)::seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  std::vector<uint32_t> tokens = {::seccomp_arch_native()};
  for (const std::string& name : profile.architectures) {
    ASSIGN_OR_RETURN(const uint32_t token, Architecture(name));
    if (token == 0) continue;
    const int result = ::seccomp_arch_add(context.get(), token);
    // A filter has one byte order: a machine of the other one makes none of the calls it sees.
    if (result == -EDOM) continue;
    if (result < 0 && result != -EEXIST) return SysError(-result, "seccomp architecture", name);
    if (std::find(tokens.begin(), tokens.end(), token) == tokens.end()) tokens.push_back(token);
  }
  for (const oci::SeccompRule& rule : profile.syscalls)
    RETURN_IF_ERROR(AddRule(context, rule, default_action));
  SeccompFilter filter;
  ASSIGN_OR_RETURN(filter.flags, Flags(profile));
  ASSIGN_OR_RETURN(filter.bpf, Export(context));
  if (!LetsThrough(profile.default_action)) filter.bpf.insert(0, UnknownCallStub(profile, tokens));
  return filter;
}

StatusOr<SeccompFilter> CachedSeccomp(const oci::Seccomp& profile, const std::string& folder) {
  RETURN_IF_ERROR(CheckNotify(profile));
  const std::string path = folder + "/" + CacheKey(profile);
  SeccompFilter filter;
  filter.bpf = ReadCache(path);
  if (!filter.bpf.empty()) {
    ASSIGN_OR_RETURN(filter.flags, Flags(profile));
    return filter;
  }
  ASSIGN_OR_RETURN(filter, CompileSeccomp(profile));
  IgnoreError(MakeDirs(folder, 0700), "without a cache the next start compiles again");
  IgnoreError(WriteFileAtomic(path, DigestOf(filter.bpf) + filter.bpf, 0600),
              "without a cache the next start compiles again");
  return filter;
}

namespace {

StatusOr<SeccompFilter> RawFilter(const std::string& base64) {
  ASSIGN_OR_RETURN(std::string bpf, DecodeBase64(base64));
  if (bpf.empty() || bpf.size() % sizeof(sock_filter) != 0)
    return InvalidArgument("{} bytes are no program: an instruction has {}", bpf.size(),
                           sizeof(sock_filter));
  const size_t count = bpf.size() / sizeof(sock_filter);
  if (count > BPF_MAXINSNS)
    return InvalidArgument("{} instructions, the kernel takes {}", count, BPF_MAXINSNS);
  return SeccompFilter{std::move(bpf), SECCOMP_FILTER_FLAG_SPEC_ALLOW};
}

}  // namespace

StatusOr<std::optional<SeccompFilter>> SeccompOf(const oci::Spec& spec, const std::string& folder) {
  constexpr char kRaw[] = "run.oci.seccomp_bpf_data";
  std::optional<SeccompFilter> filter;
  if (const auto raw = spec.annotations.find(kRaw); raw != spec.annotations.end()) {
    if (spec.linux.seccomp.has_value() && !spec.linux.seccomp->listener_path.empty())
      return InvalidArgument("annotations.{} and linux.seccomp.listenerPath: only one can be",
                             kRaw);
    auto read = RawFilter(raw->second);
    if (!read.ok()) return Annotate(read.status(), fmt::format("annotations.{}", kRaw));
    filter = std::move(*read);
  } else if (spec.linux.seccomp.has_value()) {
    ASSIGN_OR_RETURN(filter, CachedSeccomp(*spec.linux.seccomp, folder));
  }
  return filter;
}

StatusOr<UniqueFd> LoadSeccomp(const SeccompFilter& filter) {
  sock_fprog program{};
  program.len = static_cast<unsigned short>(filter.bpf.size() / sizeof(sock_filter));
  // The kernel copies the instructions and does not write to them.
  program.filter = reinterpret_cast<sock_filter*>(const_cast<char*>(filter.bpf.data()));
  Debug("seccomp filter flags: {}", filter.flags);
  const long result = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter.flags, &program);
  if (result < 0) return SysError(errno, "seccomp");
  if ((filter.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) == 0) return UniqueFd();
  return UniqueFd(static_cast<int>(result));
}

namespace {

template <typename Table>
std::vector<std::string> NamesOf(const Table& table) {
  std::vector<std::string> names;
  for (const auto& entry : table) names.emplace_back(entry.name);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

std::vector<std::string> SeccompActions() { return NamesOf(kActions); }
std::vector<std::string> SeccompOperators() { return NamesOf(kOperators); }
std::vector<std::string> SeccompFlags() { return NamesOf(kFlags); }

std::vector<std::string> SeccompArchitectures() {
  std::vector<std::string> names;
  for (const std::string_view name : kArchitectures)
    if (const auto token = Architecture(std::string(name)); token.ok() && *token != 0)
      names.emplace_back(name);
  return names;
}

}  // namespace ocirun::linux_
