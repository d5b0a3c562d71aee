// SPDX-License-Identifier: Apache-2.0
#include "shim/metrics.h"

#include <limits>

#include "base/file.h"
#include "containerd/cgroup1_metrics.pb.h"
#include "containerd/cgroup2_metrics.pb.h"
#include "ocirun/cgroup/manager.h"

namespace ocirun::shim {
namespace {

namespace v1 = io::containerd::cgroups::v1;
namespace v2 = io::containerd::cgroups::v2;

uint64_t Of(const std::map<std::string, uint64_t>& numbers, const char* key) {
  const auto it = numbers.find(key);
  return it == numbers.end() ? 0 : it->second;
}

// A key of memory.stat and where its number goes.
template <typename Message>
struct Field {
  const char* key;
  void (Message::*set)(uint64_t);
};

constexpr Field<v1::MemoryStat> kMemory1[] = {
    {"cache", &v1::MemoryStat::set_cache},
    {"rss", &v1::MemoryStat::set_rss},
    {"rss_huge", &v1::MemoryStat::set_rss_huge},
    {"mapped_file", &v1::MemoryStat::set_mapped_file},
    {"dirty", &v1::MemoryStat::set_dirty},
    {"writeback", &v1::MemoryStat::set_writeback},
    {"pgpgin", &v1::MemoryStat::set_pg_pg_in},
    {"pgpgout", &v1::MemoryStat::set_pg_pg_out},
    {"pgfault", &v1::MemoryStat::set_pg_fault},
    {"pgmajfault", &v1::MemoryStat::set_pg_maj_fault},
    {"inactive_anon", &v1::MemoryStat::set_inactive_anon},
    {"active_anon", &v1::MemoryStat::set_active_anon},
    {"inactive_file", &v1::MemoryStat::set_inactive_file},
    {"active_file", &v1::MemoryStat::set_active_file},
    {"unevictable", &v1::MemoryStat::set_unevictable},
    {"hierarchical_memory_limit", &v1::MemoryStat::set_hierarchical_memory_limit},
    {"hierarchical_memsw_limit", &v1::MemoryStat::set_hierarchical_swap_limit},
    {"total_cache", &v1::MemoryStat::set_total_cache},
    {"total_rss", &v1::MemoryStat::set_total_rss},
    {"total_rss_huge", &v1::MemoryStat::set_total_rss_huge},
    {"total_mapped_file", &v1::MemoryStat::set_total_mapped_file},
    {"total_dirty", &v1::MemoryStat::set_total_dirty},
    {"total_writeback", &v1::MemoryStat::set_total_writeback},
    {"total_pgpgin", &v1::MemoryStat::set_total_pg_pg_in},
    {"total_pgpgout", &v1::MemoryStat::set_total_pg_pg_out},
    {"total_pgfault", &v1::MemoryStat::set_total_pg_fault},
    {"total_pgmajfault", &v1::MemoryStat::set_total_pg_maj_fault},
    {"total_inactive_anon", &v1::MemoryStat::set_total_inactive_anon},
    {"total_active_anon", &v1::MemoryStat::set_total_active_anon},
    {"total_inactive_file", &v1::MemoryStat::set_total_inactive_file},
    {"total_active_file", &v1::MemoryStat::set_total_active_file},
    {"total_unevictable", &v1::MemoryStat::set_total_unevictable}};

constexpr Field<v2::MemoryStat> kMemory2[] = {
    {"anon", &v2::MemoryStat::set_anon},
    {"file", &v2::MemoryStat::set_file},
    {"kernel_stack", &v2::MemoryStat::set_kernel_stack},
    {"slab", &v2::MemoryStat::set_slab},
    {"sock", &v2::MemoryStat::set_sock},
    {"shmem", &v2::MemoryStat::set_shmem},
    {"file_mapped", &v2::MemoryStat::set_file_mapped},
    {"file_dirty", &v2::MemoryStat::set_file_dirty},
    {"file_writeback", &v2::MemoryStat::set_file_writeback},
    {"anon_thp", &v2::MemoryStat::set_anon_thp},
    {"inactive_anon", &v2::MemoryStat::set_inactive_anon},
    {"active_anon", &v2::MemoryStat::set_active_anon},
    {"inactive_file", &v2::MemoryStat::set_inactive_file},
    {"active_file", &v2::MemoryStat::set_active_file},
    {"unevictable", &v2::MemoryStat::set_unevictable},
    {"slab_reclaimable", &v2::MemoryStat::set_slab_reclaimable},
    {"slab_unreclaimable", &v2::MemoryStat::set_slab_unreclaimable},
    {"pgfault", &v2::MemoryStat::set_pgfault},
    {"pgmajfault", &v2::MemoryStat::set_pgmajfault},
    {"workingset_refault", &v2::MemoryStat::set_workingset_refault},
    {"workingset_activate", &v2::MemoryStat::set_workingset_activate},
    {"workingset_nodereclaim", &v2::MemoryStat::set_workingset_nodereclaim},
    {"pgrefill", &v2::MemoryStat::set_pgrefill},
    {"pgscan", &v2::MemoryStat::set_pgscan},
    {"pgsteal", &v2::MemoryStat::set_pgsteal},
    {"pgactivate", &v2::MemoryStat::set_pgactivate},
    {"pgdeactivate", &v2::MemoryStat::set_pgdeactivate},
    {"pglazyfree", &v2::MemoryStat::set_pglazyfree},
    {"pglazyfreed", &v2::MemoryStat::set_pglazyfreed},
    {"thp_fault_alloc", &v2::MemoryStat::set_thp_fault_alloc},
    {"thp_collapse_alloc", &v2::MemoryStat::set_thp_collapse_alloc}};

constexpr Field<v2::MemoryEvents> kMemoryEvents[] = {
    {"low", &v2::MemoryEvents::set_low},
    {"high", &v2::MemoryEvents::set_high},
    {"max", &v2::MemoryEvents::set_max},
    {"oom", &v2::MemoryEvents::set_oom},
    {"oom_kill", &v2::MemoryEvents::set_oom_kill},
    {"oom_group_kill", &v2::MemoryEvents::set_oom_group_kill}};

template <typename Message, size_t N>
void Fill(const Field<Message> (&fields)[N], const std::map<std::string, uint64_t>& numbers,
          Message* out) {
  for (const Field<Message>& field : fields) (out->*field.set)(Of(numbers, field.key));
}

void Fill(const cgroup::MemoryUsage& usage, v1::MemoryEntry* out) {
  out->set_limit(usage.limit);
  out->set_usage(usage.usage);
  out->set_max(usage.max);
  out->set_failcnt(usage.fail_count);
}

void Fill(const std::vector<cgroup::IoEntry>& entries,
          google::protobuf::RepeatedPtrField<v1::BlkIOEntry>* out) {
  for (const cgroup::IoEntry& entry : entries) {
    v1::BlkIOEntry* to = out->Add();
    to->set_op(entry.op);
    to->set_major(entry.major);
    to->set_minor(entry.minor);
    to->set_value(entry.value);
  }
}

void Fill(const std::optional<cgroup::Pressure>& pressure, v2::PSIStats* (*make)(v2::Metrics*),
          v2::Metrics* metrics) {
  if (!pressure.has_value()) return;
  v2::PSIStats* out = make(metrics);
  const auto fill = [](const cgroup::PressureLine& line, v2::PSIData* data) {
    data->set_avg10(line.avg10);
    data->set_avg60(line.avg60);
    data->set_avg300(line.avg300);
    data->set_total(line.total);
  };
  fill(pressure->some, out->mutable_some());
  fill(pressure->full, out->mutable_full());
}

v1::Metrics ToV1(const cgroup::Statistics& from) {
  v1::Metrics out;
  out.mutable_pids()->set_current(from.pids);
  out.mutable_pids()->set_limit(from.pids_limit);
  v1::CPUUsage* usage = out.mutable_cpu()->mutable_usage();
  usage->set_total(from.cpu.total);
  usage->set_kernel(from.cpu.kernel);
  usage->set_user(from.cpu.user);
  for (const uint64_t time : from.cpu.per_cpu) usage->add_per_cpu(time);
  v1::Throttle* throttling = out.mutable_cpu()->mutable_throttling();
  throttling->set_periods(from.cpu.periods);
  throttling->set_throttled_periods(from.cpu.throttled_periods);
  throttling->set_throttled_time(from.cpu.throttled_time);
  v1::MemoryStat* memory = out.mutable_memory();
  Fill(kMemory1, from.memory.raw, memory);
  Fill(from.memory.usage, memory->mutable_usage());
  Fill(from.memory.swap, memory->mutable_swap());
  Fill(from.memory.kernel, memory->mutable_kernel());
  Fill(from.memory.kernel_tcp, memory->mutable_kernel_tcp());
  out.mutable_memory_oom_control()->set_oom_kill(Of(from.memory.events, "oom_kill"));
  v1::BlkIOStat* io = out.mutable_blkio();
  Fill(from.io.service_bytes, io->mutable_io_service_bytes_recursive());
  Fill(from.io.serviced, io->mutable_io_serviced_recursive());
  Fill(from.io.queued, io->mutable_io_queued_recursive());
  Fill(from.io.service_time, io->mutable_io_service_time_recursive());
  Fill(from.io.wait_time, io->mutable_io_wait_time_recursive());
  Fill(from.io.merged, io->mutable_io_merged_recursive());
  Fill(from.io.time, io->mutable_io_time_recursive());
  Fill(from.io.sectors, io->mutable_sectors_recursive());
  for (const auto& [size, pages] : from.hugetlb) {
    v1::HugetlbStat* to = out.add_hugetlb();
    to->set_pagesize(size);
    to->set_usage(pages.usage);
    to->set_max(pages.max);
    to->set_failcnt(pages.fail_count);
  }
  return out;
}

v2::IOEntry* EntryFor(const cgroup::IoEntry& from, v2::IOStat* io) {
  for (v2::IOEntry& entry : *io->mutable_usage())
    if (entry.major() == from.major && entry.minor() == from.minor) return &entry;
  v2::IOEntry* entry = io->add_usage();
  entry->set_major(from.major);
  entry->set_minor(from.minor);
  return entry;
}

v2::Metrics ToV2(const cgroup::Statistics& from) {
  constexpr uint64_t kNanosecondsPerMicrosecond = 1000;
  v2::Metrics out;
  out.mutable_pids()->set_current(from.pids);
  out.mutable_pids()->set_limit(from.pids_limit == 0 ? std::numeric_limits<uint64_t>::max()
                                                     : from.pids_limit);
  v2::CPUStat* cpu = out.mutable_cpu();
  cpu->set_usage_usec(from.cpu.total / kNanosecondsPerMicrosecond);
  cpu->set_user_usec(from.cpu.user / kNanosecondsPerMicrosecond);
  cpu->set_system_usec(from.cpu.kernel / kNanosecondsPerMicrosecond);
  cpu->set_nr_periods(from.cpu.periods);
  cpu->set_nr_throttled(from.cpu.throttled_periods);
  cpu->set_throttled_usec(from.cpu.throttled_time / kNanosecondsPerMicrosecond);
  v2::MemoryStat* memory = out.mutable_memory();
  Fill(kMemory2, from.memory.raw, memory);
  memory->set_usage(from.memory.usage.usage);
  memory->set_usage_limit(from.memory.usage.limit);
  memory->set_max_usage(from.memory.usage.max);
  memory->set_swap_usage(from.memory.swap.usage);
  memory->set_swap_limit(from.memory.swap.limit);
  memory->set_swap_max_usage(from.memory.swap.max);
  Fill(kMemoryEvents, from.memory.events, out.mutable_memory_events());
  for (const cgroup::IoEntry& entry : from.io.service_bytes) {
    if (entry.op == "Read") EntryFor(entry, out.mutable_io())->set_rbytes(entry.value);
    if (entry.op == "Write") EntryFor(entry, out.mutable_io())->set_wbytes(entry.value);
  }
  for (const cgroup::IoEntry& entry : from.io.serviced) {
    if (entry.op == "Read") EntryFor(entry, out.mutable_io())->set_rios(entry.value);
    if (entry.op == "Write") EntryFor(entry, out.mutable_io())->set_wios(entry.value);
  }
  for (const auto& [size, pages] : from.hugetlb) {
    v2::HugeTlbStat* to = out.add_hugetlb();
    to->set_pagesize(size);
    to->set_current(pages.usage);
    to->set_max(pages.max);
    to->set_failcnt(pages.fail_count);
  }
  Fill(from.cpu.pressure, [](v2::Metrics* m) { return m->mutable_cpu()->mutable_psi(); }, &out);
  Fill(
      from.memory.pressure, [](v2::Metrics* m) { return m->mutable_memory()->mutable_psi(); },
      &out);
  Fill(from.io.pressure, [](v2::Metrics* m) { return m->mutable_io()->mutable_psi(); }, &out);
  return out;
}

}  // namespace

StatusOr<wire::Any> ReadMetrics(const CgroupView& cgroups) {
  const std::string memory = MemoryFolder(cgroups);
  if (memory.empty() || !PathExists(memory)) return NotFound("cgroup does not exist");
  const cgroup::Statistics statistics = cgroup::ExistingManager(cgroups)->ReadStatistics();
  wire::Any out;
  if (cgroups.contains("")) {
    out.set_type_url("io.containerd.cgroups.v2.Metrics");
    out.set_value(ToV2(statistics).SerializeAsString());
  } else {
    out.set_type_url("io.containerd.cgroups.v1.Metrics");
    out.set_value(ToV1(statistics).SerializeAsString());
  }
  return out;
}

}  // namespace ocirun::shim
