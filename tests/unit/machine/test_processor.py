import pytest

from maskprof.machine.processor import current_mhz, read_processor

CPUINFO = """processor\t: 0
model name\t: Some CPU 9000
cpu MHz\t\t: 2400.000
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu ht{flags}

processor\t: 1
model name\t: Some CPU 9000
cpu MHz\t\t: 3600.000
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu ht{flags}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "proc").mkdir()
    put(tmp_path, "proc/cpuinfo", CPUINFO.format(flags=""))
    put(tmp_path, "proc/meminfo", "MemTotal:       1000 kB\nMemAvailable:    250 kB\n")
    return tmp_path


def put(folder, path, text):
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_what_a_processor_is(folder, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = read_processor(folder)
    assert (found.name, found.physical, found.virtual) == ("Some CPU 9000", 1, False)
    assert (found.memory_bytes, found.memory_free_bytes) == (1000 * 1024, 250 * 1024)
    assert found.thread_variables["OMP_NUM_THREADS"] == "3"
    assert (found.governors, found.turbo, found.max_mhz, found.quota) == ((), None, None, None)


def test_clocks_and_governors(folder):
    for number, mhz in ((0, 1200), (1, 2600)):
        base = f"sys/devices/system/cpu/cpu{number}/cpufreq"
        put(folder, f"{base}/scaling_governor", "powersave\n")
        put(folder, f"{base}/scaling_cur_freq", f"{mhz * 1000}\n")
        put(folder, f"{base}/cpuinfo_max_freq", "3600000\n")
    put(folder, "sys/devices/system/cpu/intel_pstate/no_turbo", "0\n")
    found = read_processor(folder)
    assert (found.governors, found.turbo, found.max_mhz) == (("powersave",), True, 3600.0)
    assert current_mhz(folder) == 1900.0


def test_without_cpufreq_the_clock_is_that_of_cpuinfo_but_not_in_a_virtual_machine(folder):
    assert current_mhz(folder) == 3000.0
    put(folder, "proc/cpuinfo", CPUINFO.format(flags=" hypervisor"))
    assert read_processor(folder).virtual
    assert current_mhz(folder) is None


def test_turbo_of_other_drivers(folder):
    put(folder, "sys/devices/system/cpu/cpufreq/boost", "0\n")
    assert read_processor(folder).turbo is False


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n"}, 0.5),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        (
            {
                "proc/self/cgroup": "5:memory:/m\n4:cpu,cpuacct:/docker/x\n",
                "sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us": "100000\n",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_a_containers_limit(folder, files, quota):
    for path, text in files.items():
        put(folder, path, text)
    assert read_processor(folder).quota == quota


def test_where_nothing_can_be_seen(tmp_path):
    found = read_processor(tmp_path)
    assert found.name
    assert (found.physical, found.virtual, found.memory_bytes) == (None, None, None)
    assert current_mhz(tmp_path) is None
