// SPDX-License-Identifier: Apache-2.0
#include "manager/network/firewall.h"

#include <nftables/libnftables.h>

#include <memory>

namespace ocirun::network {
namespace {

Status RunNft(const std::string& commands) {
  struct Free {
    void operator()(nft_ctx* context) const { nft_ctx_free(context); }
  };
  const std::unique_ptr<nft_ctx, Free> context(nft_ctx_new(NFT_CTX_DEFAULT));
  if (context == nullptr) return Internal("nftables: no context");
  nft_ctx_buffer_output(context.get());
  nft_ctx_buffer_error(context.get());
  if (nft_run_cmd_from_buffer(context.get(), commands.c_str()) == 0) return absl::OkStatus();
  std::string text = nft_ctx_get_error_buffer(context.get());
  return Internal("nftables: {}", text.substr(0, text.find('\n')));
}

std::string RuleOf(const Forwarding& f) {
  const std::string to = f.host_ip.empty() || f.host_ip == "0.0.0.0"
                             ? std::string("fib daddr type local")
                             : "ip daddr " + f.host_ip;
  return fmt::format("{} {} dport {} dnat to {}:{}\n", to, f.protocol, f.host_port, f.container_ip,
                     f.container_port);
}

}  // namespace

std::string RenderRules(const FirewallState& state) {
  std::string dnat;
  for (const Forwarding& forwarding : state.forwardings) dnat += RuleOf(forwarding);
  // Declared before it is deleted, so that the deletion cannot fail.
  return fmt::format(
      "table ip {0} {{}}\n"
      "delete table ip {0}\n"
      "table ip {0} {{\n"
      "chain prerouting {{ type nat hook prerouting priority -100;\n{3}}}\n"
      "chain output {{ type nat hook output priority -100;\n{3}}}\n"
      "chain postrouting {{ type nat hook postrouting priority 100;\n"
      "ip saddr {2} oifname != \"{1}\" masquerade\n"
      "ip saddr 127.0.0.0/8 oifname \"{1}\" masquerade\n"
      "ip saddr {2} oifname \"{1}\" ct status dnat masquerade\n}}\n"
      "chain forward {{ type filter hook forward priority 0;\n"
      "iifname \"{1}\" accept\noifname \"{1}\" accept\n}}\n}}\n",
      state.table, state.bridge, state.subnet, dnat);
}

Status ApplyFirewall(const FirewallState& state) { return RunNft(RenderRules(state)); }

Status RemoveFirewall(const std::string& table) {
  return RunNft(fmt::format("table ip {0} {{}}\ndelete table ip {0}\n", table));
}

}  // namespace ocirun::network
