#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the budget table of this project side by side with the peers that are installed.

usage: bench.py [--bin build/release/bin] [--only WORD,...] [--runs N] [--registry HOST:PORT] [--image NAME]
                [--markdown FILE]   (its part between the two `table` comments is replaced)

Run as root. Every row is measured in one run on one machine and judged as a ratio; absolute times
vary from machine to machine and with its load. A peer that is not installed, or whose daemon does
not run, is left out. Commands are timed in turns (ours, peer, ours, peer …), so that a slow moment
hits all alike; the median is shown.

The runtime rows use a bundle of busybox-static with the namespaces pid, mount, uts, ipc and
network. `limit` is a small static program that does nothing but clone3, a bind mount, pivot_root
and exec; `floor` makes every system call that the bundle's config.json needs, and no other. crun refuses hybrid cgroups: there everything is measured in a private mount namespace in
which /sys/fs/cgroup/unified is not mounted. The manager rows use busybox of the registry, if one is
given, so that every peer runs the same image; podman gets limits that a root without
CAP_SYS_RESOURCE may set. Podman's storage and a containerd for the rows of shims are the bench's own.
"""
import argparse, json, os, re, shutil, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
ONCE = None  # the program bench_once of the build


def sh(*args, **kw):
    return subprocess.run(args, check=True, capture_output=True, text=True, **kw).stdout


def have(program):
    return shutil.which(program) is not None


def once(argv):
    """-> seconds and peak KiB of one run; raises when it fails."""
    # Not a pipe: a created container keeps the standard error open, and reading it would never end.
    with tempfile.TemporaryFile() as errors:
        run = subprocess.run([ONCE, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        if run.returncode != 0:
            errors.seek(0)
            raise RuntimeError(f'{" ".join(argv)}: exit {run.returncode}: {errors.read().decode(errors="replace")[-300:]}')
        microseconds, peak = map(int, run.stdout.split())
    return microseconds / 1e6, peak


def in_turns(commands, runs, before=None):
    """{name: argv} -> {name: median seconds}, or an error text for a command that fails."""
    times, broken = {n: [] for n in commands}, {}
    for i in range(runs + 2):
        for name, argv in commands.items():
            if name in broken:
                continue
            if before:
                before()
            try:
                t, _ = once(argv)
            except RuntimeError as e:
                broken[name] = str(e)
                continue
            if i >= 2:
                times[name].append(t)
    return {n: broken.get(n) or statistics.median(times[n]) for n in commands}


def leave_hybrid_cgroups():
    """Starts this script again in a mount namespace without the cgroup2 mount of a hybrid host."""
    if not os.path.ismount('/sys/fs/cgroup/unified'):
        return
    script = 'umount /sys/fs/cgroup/unified && exec "$@"'
    os.execvp('unshare', ['unshare', '-m', '--propagation', 'private', 'sh', '-c', script, 'sh', sys.executable, *sys.argv])


def pss_kib(pid):
    return int(re.search(r'^Pss:\s+(\d+)', open(f'/proc/{pid}/smaps_rollup').read(), re.M).group(1))


def cpu_seconds(pid):
    """What all threads of a process have run so far."""
    return sum(int(open(f'/proc/{pid}/task/{t}/schedstat').read().split()[0]) for t in os.listdir(f'/proc/{pid}/task')) / 1e9


def pids(pattern):
    return [int(p) for p in subprocess.run(['pgrep', '-f', '--', pattern], capture_output=True, text=True).stdout.split()]


class Containerd:
    """A containerd of the bench's own, with busybox as image `box`. A shim's containers are in a namespace of its name."""
    RUNTIMES = {'ocishim': 'io.containerd.ocirun.v2', 'containerd-shim-runc-v2': 'io.containerd.runc.v2'}

    def __init__(self, tmp, ocishim, rootfs):
        self.address, self.tmp = f'{tmp}/containerd.sock', tmp
        os.makedirs(f'{tmp}/path')
        os.symlink(ocishim, f'{tmp}/path/containerd-shim-ocirun-v2')
        open(f'{tmp}/containerd.toml', 'w').write(f'''version = 2
root = "{tmp}/containerd"
state = "{tmp}/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{self.address}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{tmp}/opt"
''')
        self.process = subprocess.Popen(['containerd', '-c', f'{tmp}/containerd.toml'], stdout=open(f'{tmp}/containerd.log', 'w'), stderr=subprocess.STDOUT,
                                        env={**os.environ, 'PATH': f'{tmp}/path:{os.environ["PATH"]}'})
        for _ in range(100):
            if subprocess.run(self.ctr('ocishim', 'version'), capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        sh(f'{REPO}/contrib/images/make-layout', f'{tmp}/layout', rootfs, '{"Env":["PATH=/bin"]}')
        sh('tar', '-C', f'{tmp}/layout', '-cf', f'{tmp}/box.tar', '.')
        for shim in self.RUNTIMES:
            sh(*self.ctr(shim, 'image', 'import', '--base-name', 'box', f'{tmp}/box.tar'))

    def ctr(self, shim, *args):
        return ['ctr', '-a', self.address, '-n', f'bench-{shim}', *args]

    def run(self, shim, *args):
        """`args`: options, the container's name, its command."""
        *options, name, command = args
        return self.ctr(shim, 'run', '--runtime', self.RUNTIMES[shim], *options, 'box:latest', name, *command)

    def shims(self, shim):
        return pids(f'-namespace bench-{shim} .*-address {self.address}')

    def remove(self, shim):
        for kind, option in (('task', ['-f']), ('container', [])):
            names = sh(*self.ctr(shim, kind, 'ls', '-q')).split()
            if names:
                sh(*self.ctr(shim, kind, 'rm', *option, *names))

    def stop(self):
        for shim in self.RUNTIMES:
            self.remove(shim)
        self.process.terminate(); self.process.wait(30)
        for shim in self.RUNTIMES:
            sh('find', '/sys/fs/cgroup', '-maxdepth', '2', '-type', 'd', '-name', f'bench-{shim}', '-exec', 'rmdir', '{}', '+')
            for runtime in ('runc', 'ocirun'):
                shutil.rmtree(f'/run/containerd/{runtime}/bench-{shim}', ignore_errors=True)


class Bench:
    def __init__(self, args):
        self.args, self.rows = args, []
        self.tmp = tempfile.mkdtemp(prefix='ocirun-bench.', dir='/var/tmp')
        # State folders are on a tmpfs, as /run is.
        self.state = tempfile.mkdtemp(prefix='ocirun-bench.', dir='/dev/shm')
        self.bin = os.path.abspath(args.bin)
        self.ocirun, self.ocictl = f'{self.bin}/ocirun', f'{self.bin}/ocictl'
        self.daemon = None
        self.podman = ['podman', '--root', f'{self.tmp}/podman', '--runroot', f'{self.state}/podman']
        self.busybox = f'{args.registry}/library/busybox' if args.registry else 'busybox'
        conf = f'{self.tmp}/containers.conf'
        open(conf, 'w').write('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
                              '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n')
        os.environ['CONTAINERS_CONF'] = conf

    # ---- what is measured

    def row(self, what, values, unit, budget=''):
        """values: {name: number or error text}; the first is ours."""
        names = list(values)
        ours = values[names[0]]
        cells = []
        for n in names:
            v = values[n]
            if isinstance(v, str):
                cells.append(f'{n} failed'); print(f'   {n}: {v}', file=sys.stderr)
            else:
                ratio = f' ({ours / v:.2f} of it)' if n != names[0] and not isinstance(ours, str) and v else ''
                cells.append(f'{n} {v:.1f} {unit}{ratio}')
        self.rows.append((what, cells[0], ', '.join(cells[1:]) or '–', budget))
        print(f'{what}: ' + '; '.join(cells), flush=True)

    def rootfs(self):
        if not os.path.isdir(f'{self.tmp}/rootfs'):
            sh(f'{REPO}/contrib/images/make-busybox', f'{self.tmp}/rootfs')
        return f'{self.tmp}/rootfs'

    def bundle(self, name, change):
        path = f'{self.tmp}/{name}'
        os.makedirs(path)
        self.rootfs()
        sh('runc' if have('runc') else self.ocirun, 'spec', cwd=path)
        config = json.load(open(f'{path}/config.json'))
        config['root'] = {'path': f'{self.tmp}/rootfs'}
        config['process'].update(terminal=False, args=['/bin/true'])
        config['linux']['namespaces'] = [{'type': t} for t in ('pid', 'mount', 'uts', 'ipc', 'network')]
        # crun without the cgroup2 mount and runc on hybrid both show cgroups their own way; none here.
        config['mounts'] = [m for m in config['mounts'] if m['type'] != 'cgroup']
        change(config)
        json.dump(config, open(f'{path}/config.json', 'w'))
        return path

    def runtimes(self):
        yield 'ocirun', [self.ocirun, '--root', f'{self.state}/ocirun']
        for peer in ('crun', 'runc'):
            if have(peer):
                yield peer, [peer, '--root', f'{self.state}/{peer}']

    def runtime_rows(self):
        plain = self.bundle('plain', lambda c: None)
        run = lambda b, n: {r: a + ['run', '-b', b, f'{n}-{r}'] for r, a in self.runtimes()}
        ms = lambda v: {k: x if isinstance(x, str) else x * 1000 for k, x in v.items()}
        if self.wants('run'):
            limit = {n: [self.helper(n), f'{self.tmp}/rootfs', '/bin/true'] for n in ('floor', 'limit')}
            self.row('`run` of /bin/true, 5 namespaces', ms(in_turns({**run(plain, 'p'), **limit}, self.args.runs)), 'ms', '≤ 0.5 × crun, ≤ 1.4 × limit')
            profile = json.load(open(f'{REPO}/contrib/seccomp/default.json'))['profile']
            filtered = self.bundle('filtered', lambda c: c['linux'].update(seccomp=profile))
            self.row('the same with Docker\'s seccomp profile', ms(in_turns(run(filtered, 's'), self.args.runs)), 'ms', '≤ 0.5 × crun')
            self.row('the same after 1.5 s of quiet', ms(in_turns(run(plain, 'q'), max(3, self.args.runs // 6), before=lambda: time.sleep(1.5))), 'ms', '≤ 0.5 × crun')
        if self.wants('exec'):
            sleeper = self.bundle('sleeper', lambda c: c['process'].update(args=['/bin/sleep', '1000']))
            started = {}
            try:
                for r, a in self.runtimes():
                    try:
                        once(a + ['create', '-b', sleeper, f'e-{r}']); once(a + ['start', f'e-{r}'])
                        started[r] = a + ['exec', f'e-{r}', '/bin/true']
                    except RuntimeError as e:
                        print(f'   {r}: {e}', file=sys.stderr)
                self.row('`exec` of /bin/true', ms(in_turns(started, self.args.runs)), 'ms', '≤ 0.5 × crun')
            finally:
                for r, a in self.runtimes():
                    subprocess.run(a + ['delete', '-f', f'e-{r}'], capture_output=True)
        if self.wants('memory'):
            self.row('peak memory of `run`', {r: statistics.median(once(argv)[1] for _ in range(5)) / 1024 for r, argv in run(plain, 'm').items()}, 'MB', '≤ 2 MB')

    def helper(self, name):
        return f'{os.path.dirname(self.bin)}/test/bench_{name}'

    def start_daemon(self):
        state = f'{self.state}/ocid'
        self.host = f'unix://{self.tmp}/ocid.sock'
        open(f'{self.tmp}/ocid.yaml', 'w').write('{}')
        self.daemon = subprocess.Popen([f'{self.bin}/ocid', '--config', f'{self.tmp}/ocid.yaml', '--root', f'{self.tmp}/root', '--state', state, '--listen', self.host],
                                       stdout=open(f'{self.tmp}/ocid.log', 'w'), stderr=subprocess.STDOUT)
        for _ in range(100):
            if subprocess.run(self.ctl('version'), capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        raise SystemExit('ocid does not start:\n' + open(f'{self.tmp}/ocid.log').read())

    def ctl(self, *args):
        return [self.ocictl, '--host', self.host, *args]

    def peers(self):
        """Managers whose daemon answers: name -> command prefix."""
        for name, command in (('docker', ['docker']), ('podman', self.podman)):
            if have(name) and subprocess.run(command + ['info'], capture_output=True).returncode == 0:
                yield name, command

    def manager_rows(self):
        ms = lambda v: {k: x if isinstance(x, str) else x * 1000 for k, x in v.items()}
        self.start_daemon()
        if self.wants('idle'):
            time.sleep(1)
            self.row('`ocid` idle, PSS', {'ocid': pss_kib(self.daemon.pid) / 1024}, 'MB', '≤ 25 MB')
        sh(*self.ctl('run', '--rm', self.busybox, 'true'))
        if self.args.registry:
            for name, p in self.peers():
                sh(*p, 'pull', '-q', *(['--tls-verify=false'] if name == 'podman' else []), self.busybox)
        everyone = lambda *args: {'ocictl': self.ctl(*args), **{n: p + list(args) for n, p in self.peers()}}
        runs = max(5, self.args.runs // 2)
        if self.wants('ps'):
            self.row('`ps`', ms(in_turns(everyone('ps'), self.args.runs)), 'ms', '≤ 5 ms')
        if self.wants('cli'):
            self.row('`run --rm` on the bridge, whole command', ms(in_turns(everyone('run', '--rm', self.busybox, 'true'), runs)), 'ms', '≤ 25 ms')
            for argv in everyone('run', '-d', '--name', 'bench-x', self.busybox, 'sleep', '1000').values():
                subprocess.run(argv, capture_output=True)
            self.row('`exec` into a running container, whole command', ms(in_turns(everyone('exec', 'bench-x', 'true'), runs)), 'ms', '≤ 10 ms')
            for argv in everyone('rm', '-f', 'bench-x').values():
                subprocess.run(argv, capture_output=True)
        if self.wants('log'):
            lines = 'yes ' + 'x' * 99 + ' | head -c 200000000'
            self.row('`run --rm` that prints 200 MB', in_turns(everyone('run', '--rm', self.busybox, 'sh', '-c', lines), 1), 's', '≤ 1.2 s')
            self.log_rows(everyone)
        if self.args.registry and self.wants('pull'):
            ref = f'{self.args.registry}/{self.args.image}'
            def remove():
                for argv in everyone('rmi', '-f', ref).values():
                    subprocess.run(argv, capture_output=True)
            pulls = {n: a[:-1] + ['--tls-verify=false', ref] if n == 'podman' else a for n, a in everyone('pull', ref).items()}
            self.row(f'`pull` of {self.args.image}', in_turns(pulls, 3, before=remove), 's', '≤ 1.8 s')
            remove()

    def log_rows(self, everyone):
        """Podman's log is k8s-file, the others' is json-file."""
        loads = f'{os.path.dirname(self.bin)}/test'
        with open(f'{self.tmp}/lines', 'wb') as lines:
            lines.write((b'x' * 99 + b'\n') * 1000000)
        driver = lambda name: 'k8s-file' if name == 'podman' else 'json-file'
        def start(*args):
            return {n: a[:a.index('run') + 1] + ['-d', '--name', 'bench-log', '--network', 'none', '--log-driver', driver(n)] + a[a.index('run') + 1:]
                    for n, a in everyone('run', *args).items()}
        rates, clock, shares = {}, {}, {}
        begin, end = f'{self.tmp}/begin', f'{self.tmp}/end'
        print_all = 'touch /lines/begin; cat' + ' /lines/lines' * 10 + '; touch /lines/end; sleep 1000'
        for name, argv in start('-v', f'{self.tmp}:/lines', self.busybox, 'sh', '-c', print_all).items():
            before = cpu_seconds(self.shim_of('')) if name == 'docker' else 0
            rates[name] = 1000 / (self.at_rest(self.shim_of(sh(*argv).strip())) - before)
            # What it could print is taken, but for what a pipe holds.
            clock[name] = 1000 / (os.stat(end).st_mtime - os.stat(begin).st_mtime)
            sh(*everyone('rm', '-f', 'bench-log')[name])
        self.row('output in lines of 100 into a log, by the clock', clock, 'MB/s', '≥ 300 MB/s')
        self.row('output in lines of 100 into a log, for a CPU second of the shim', rates, 'MB', '≥ 300 MB')
        for name, argv in start('-v', f'{loads}:/loads:ro', self.busybox, '/loads/bench_lines', '1000').items():
            shim = self.shim_of(sh(*argv).strip())
            time.sleep(1)
            before = cpu_seconds(shim)
            time.sleep(10)
            shares[name] = (cpu_seconds(shim) - before) * 10
            sh(*everyone('rm', '-f', 'bench-log')[name])
        self.row('CPU of the shim of a container that prints 1,000 lines a second', shares, '% of a core', '≤ 1 %')

    def shim_of(self, container):
        """Docker's writes no log, dockerd does: that one."""
        own = pids(f'(ocishim|conmon) .*{container}') if container else []
        return (own or pids('^[^ ]*dockerd'))[0]

    def at_rest(self, pid):
        """-> CPU seconds, when the process has been idle for a second."""
        now = -1
        while cpu_seconds(pid) - now > 0.01:
            now = cpu_seconds(pid)
            time.sleep(1)
        return now

    def shim_rows(self):
        containerd = Containerd(self.tmp, f'{self.bin}/ocishim', self.rootfs())
        try:
            if self.wants('shim'):
                self.shim_memory(containerd)
            if self.wants('ctr'):
                self.ctr_rows(containerd)
        finally:
            containerd.stop()

    def shim_memory(self, containerd):
        n, sleep = 20, ['sleep', '1000']
        names = [f'bench-{i}' for i in range(n)]
        detached = {'ocishim': self.ctl('run', '-d'), **{m: p + ['run', '-d'] for m, p in self.peers() if m == 'podman'}}
        for name in names:
            for argv in detached.values():
                sh(*argv, '--name', name, '--network', 'none', self.busybox, *sleep)
            for shim in containerd.RUNTIMES:
                sh(*containerd.run(shim, '-d', name, sleep))
        each = lambda found: sum(pss_kib(p) for p in found) / n
        values = {'ocishim': each(pids(f'ocishim .*({self.tmp}|{self.state})/ocid')), 'ocishim under containerd': each(containerd.shims('ocishim')),
                  'containerd-shim-runc-v2': each(containerd.shims('containerd-shim-runc-v2'))}
        if 'podman' in detached:
            values['conmon'] = each(pids(f'conmon .*{self.tmp}/podman'))
        self.row(f'shim, PSS each ({n} containers of each kind running)', values, 'KB', '≤ 1,000 KB')
        sh(*self.ctl('rm', '-f', *names))
        if 'podman' in detached:
            sh(*self.podman, 'rm', '-f', '-t', '0', *names)
        further = {}
        for shim in containerd.RUNTIMES:
            containerd.remove(shim)
            for name in names:
                sh(*containerd.run(shim, '-d', '--annotation', 'io.containerd.runc.v2.group=pod', name, sleep))
                found = containerd.shims(shim)
                if name == names[0]:
                    first = pss_kib(found[0])
            if len(found) != 1:
                further[shim] = f'{len(found)} shims'
                continue
            further[shim] = (pss_kib(found[0]) - first) / (n - 1)
        self.row('a further container in the same shim, PSS', further, 'KB', '≤ 200 KB')
        for shim in containerd.RUNTIMES:
            containerd.remove(shim)

    def ctr_rows(self, containerd):
        ms = lambda v: {k: x if isinstance(x, str) else x * 1000 for k, x in v.items()}
        run = {shim: containerd.run(shim, '--rm', 'x', ['true']) for shim in containerd.RUNTIMES}
        self.row('`ctr run --rm`', ms(in_turns(run, self.args.runs)), 'ms')
        for shim in containerd.RUNTIMES:
            sh(*containerd.run(shim, '-d', 'y', ['sleep', '1000']))
        # Every exec has a name of its own.
        execs = {shim: ['sh', '-c', f'exec {" ".join(containerd.ctr(shim, "task", "exec"))} --exec-id e$$ y true'] for shim in containerd.RUNTIMES}
        self.row('`ctr task exec`', ms(in_turns(execs, self.args.runs)), 'ms')

    def wants(self, *words):
        only = self.args.only.split(',') if self.args.only else words
        return any(word in only for word in words)

    def clean(self):
        if self.daemon:
            ids = subprocess.run(self.ctl('ps', '-aq'), capture_output=True, text=True).stdout.split()
            if ids:
                subprocess.run(self.ctl('rm', '-f', *ids), capture_output=True)
            self.daemon.terminate(); self.daemon.wait(30)
        # Podman mounts its storage on itself.
        subprocess.run(['umount', f'{self.tmp}/podman/overlay'], capture_output=True)
        shutil.rmtree(self.tmp)
        shutil.rmtree(self.state)

    def table(self):
        cpu = re.search(r'model name\s*:\s*(.*)', open('/proc/cpuinfo').read())
        head = f'Linux {os.uname().release}, {os.cpu_count()} × {cpu.group(1) if cpu else os.uname().machine}, {time.strftime("%Y-%m-%d")}\n\n'
        lines = ['| what | ours | peers, same run | budget |', '|---|---|---|---|'] + [f'| {" | ".join(r)} |' for r in self.rows]
        return head + '\n'.join(lines) + '\n'


def replace_table(path, table):
    """Puts `table` between the comments `table` and `end of table` of a Markdown file."""
    text = open(path).read()
    new, n = re.subn(r'(<!-- table -->\n).*?(<!-- end of table -->)', lambda m: m[1] + table + m[2], text, flags=re.S)
    if n != 1:
        raise SystemExit(f'{path}: has no <!-- table --> and <!-- end of table -->')
    open(path, 'w').write(new)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--bin', default=f'{REPO}/build/release/bin'); p.add_argument('--only', default='')
    p.add_argument('--runs', type=int, default=30); p.add_argument('--registry', default='')
    p.add_argument('--image', default='library/big:latest'); p.add_argument('--markdown', default='')
    args = p.parse_args()
    leave_hybrid_cgroups()
    global ONCE
    b = Bench(args)
    ONCE = b.helper('once')
    try:
        if b.wants('run', 'exec', 'memory'):
            b.runtime_rows()
        if b.wants('idle', 'ps', 'cli', 'log', 'pull', 'shim', 'ctr'):
            b.manager_rows()
        if b.wants('shim', 'ctr') and have('containerd'):
            b.shim_rows()
    finally:
        b.clean()
    if b.args.markdown:
        replace_table(b.args.markdown, b.table())
    print('\n' + b.table())


if __name__ == '__main__':
    main()
