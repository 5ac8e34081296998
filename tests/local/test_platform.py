"""`up`, `down`, `status`, `clean`: what they promise, on real servers. Most tests start only the quick ones."""

import fcntl
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from deploy.local import environment
from deploy.local.rabbitmq import RabbitMQ
from tests.local.conftest import Platform
from tests.support.waiting import eventually

Make = Callable[..., Platform]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One that is up, for the tests that change nothing; `first_output` is what `up` printed."""
    platform = Platform(tmp_path_factory.mktemp("running") / "home")
    platform.first_output = platform.run("up", "postgres")
    yield platform
    platform.kill()


def test_up_prints_each_part_with_its_seconds_and_then_one_table(running: Platform) -> None:
    output = running.first_output
    assert "  postgres             ready   " in output
    assert "part            address" in output
    assert f"127.0.0.1:{running.settings.port_of('postgres')}" in output


def test_up_makes_secrets_that_only_the_owner_can_read_and_nobody_is_shown(running: Platform) -> None:
    output = running.first_output + running.run("status", status=1)
    files = [path for path in running.settings.secrets.rglob("*") if path.is_file()]
    assert {"postgres/auth", "rabbitmq/notify", "auth/secret-key", "components/auth/database_url"} <= {
        str(path.relative_to(running.settings.secrets)) for path in files
    }
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert path.read_text() not in output
    configuration = (running.settings.run / "supervisord.conf").read_text()
    assert (running.settings.secrets / "postgres" / "auth").read_text() not in configuration


def test_status_measures_memory_and_the_last_start(running: Platform) -> None:
    output = running.run("status", status=1)  # the other parts are not running
    assert "PSS MB" in output
    assert "memory: " in output
    assert "last start: " in output


def test_down_stops_everything_and_keeps_the_data(platform: Platform) -> None:
    platform.run("up", "postgres")
    with connect(platform) as conn, conn.cursor() as cur:
        cur.execute("CREATE TABLE kept (word text)")
    conn.close()
    assert "Gatehouse is down after" in platform.run("down")
    assert platform.processes() == []
    platform.run("up", "postgres")
    with connect(platform) as conn, conn.cursor() as cur:
        cur.execute("SELECT count(*) FROM kept")
        assert cur.fetchone() == (0,)
    conn.close()


def test_up_on_a_running_platform_says_so_and_starts_only_what_is_missing(platform: Platform) -> None:
    platform.run("up", "postgres")
    before = platform.pid_of("postgres")
    assert "already running" in platform.run("up", "postgres")
    assert "starting what is missing: mongo" in platform.run("up", "postgres", "mongo")
    assert platform.pid_of("postgres") == before


def test_a_running_platform_is_not_moved_to_other_ports(running: Platform) -> None:
    output = running.run("up", "postgres", status=1, GATEHOUSE_PORT=str(running.settings.port + 1))
    assert output.startswith("Gatehouse already runs in ")
    assert output.count("\n") == 1


def test_a_busy_port_is_named_with_its_holder_and_nothing_is_left(platform: Platform) -> None:
    with socket.create_server(("127.0.0.1", platform.settings.port_of("postgres"))):
        output = platform.run("up", "postgres", status=1)
    port = platform.settings.port_of("postgres")
    assert f"Port {port}, meant for postgres, is taken by `" in output
    assert f"(pid {os.getpid()})" in output
    assert "GATEHOUSE_PORT=" in output
    assert platform.processes() == []


def test_a_killed_supervisor_is_healed_by_the_next_up(platform: Platform) -> None:
    platform.run("up", "postgres", "simulators")
    platform.kill_supervisor()
    assert len(platform.processes()) >= 2
    output = platform.run("up", "postgres", "simulators")
    assert "An earlier run had ended badly" in output
    assert "Gatehouse is up after" in output


def test_down_ends_what_a_killed_supervisor_left(platform: Platform) -> None:
    platform.run("up", "postgres")
    platform.kill_supervisor()
    assert "An earlier run had ended badly" in platform.run("down")
    assert platform.processes() == []


def test_a_crashed_part_is_started_again(platform: Platform) -> None:
    platform.run("up", "mongo")
    first = platform.pid_of("mongo")
    os.kill(first, signal.SIGKILL)
    eventually(lambda: platform.pid_of("mongo") not in (0, first), what="another mongo")


def test_restart_replaces_only_the_named_part(platform: Platform) -> None:
    platform.run("up", "postgres", "simulators")
    postgres, simulators = platform.pid_of("postgres"), platform.pid_of("simulators")
    platform.run("restart", "simulators")
    assert platform.pid_of("simulators") not in (0, simulators)
    assert platform.pid_of("postgres") == postgres


def test_an_interrupted_up_leaves_no_process(platform: Platform) -> None:
    process = platform.begin("up", "postgres", "rabbitmq", "simulators")
    eventually(lambda: platform.supervisor.pid() and len(platform.processes()) >= 4, what="half of a platform")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert platform.processes() == []


def test_a_part_that_cannot_start_ends_up_with_its_log_and_leaves_nothing(platform: Platform) -> None:
    platform.run("up", "postgres")
    platform.run("down")
    (platform.settings.home / "postgres" / "data" / "global" / "pg_control").write_bytes(b"")
    output = platform.run("up", "postgres", status=1)
    assert "postgres ends as soon as it is started. The end of " in output
    assert "pg_control" in output
    assert platform.processes() == []


def test_two_commands_at_once_do_not_disturb_each_other(running: Platform) -> None:
    with (running.settings.run / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for verb in ("up", "down", "clean"):
            output = running.run(verb, status=1)
            assert output.startswith("Another command is starting or stopping the platform in ")
    assert running.supervisor.states()["postgres"]["statename"] in ("STARTING", "RUNNING")


def test_two_platforms_run_side_by_side(make_platform: Make, rabbitmq: RabbitMQ) -> None:
    """And a third RabbitMQ of the same node name, the tests' own, beside them."""
    one, two = make_platform("one"), make_platform("two")
    one.run("up", "postgres", "mongo")
    two.run("up", "postgres", "rabbitmq")
    one.run("down")
    assert one.processes() == []
    assert two.supervisor.states()["postgres"]["statename"] in ("STARTING", "RUNNING")
    environment.servers(two.settings).rabbitmq.probe()
    rabbitmq.probe()


def test_a_folder_too_deep_for_a_unix_socket_works(make_platform: Make) -> None:
    platform = make_platform("deep/" + "/".join(["folder-with-a-name"] * 8))
    platform.run("up", "postgres")
    assert len(os.fsencode(platform.settings.run / "supervisor.sock")) > 107
    assert "already running" in platform.run("up", "postgres")


def test_a_folder_with_spaces_and_an_apostrophe_works(make_platform: Make) -> None:
    make_platform("alice's own folder").run("up", "postgres", "mongo", "simulators")


def test_a_folder_that_the_supervisor_cannot_handle_is_one_sentence(make_platform: Make) -> None:
    assert make_platform("100 % mine").run("up", status=1).startswith("supervisord cannot handle ")


def test_clean_removes_the_folder(platform: Platform) -> None:
    platform.run("up", "postgres")
    platform.run("clean")
    assert not platform.settings.home.exists()
    assert platform.processes() == []


def test_clean_refuses_a_folder_it_did_not_make(platform: Platform) -> None:
    precious = platform.settings.home / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("years of work")
    assert "was not made by Gatehouse" in platform.run("clean", status=1)
    assert precious.exists()


@pytest.mark.parametrize("port", ["80", "http", "65530", "-1"])
def test_a_wrong_port_is_one_sentence(platform: Platform, port: str) -> None:
    output = platform.run("up", status=1, GATEHOUSE_PORT=port)
    assert output.startswith("GATEHOUSE_PORT must be a whole number from 1024 to ")
    assert output.count("\n") == 1


def test_an_unknown_part_is_one_sentence(running: Platform) -> None:
    assert running.run("up", "postgress", status=1).startswith("There is no part postgress. The parts are: ")


def test_logs_show_the_last_lines_of_each_part(running: Platform) -> None:
    output = running.run("logs", "postgres", "--no-follow")
    assert "postgres | " in output
    assert "database system is ready to accept connections" in output


def test_run_gives_a_command_the_environment_of_a_component(running: Platform) -> None:
    output = running.run("run", "auth", "sh", "-c", "echo $BIND; ls $SECRETS_DIR")
    secrets = ["amqp_url", "database_url", "providers", "secret_keys", "test_codes"]
    assert output.split() == [running.settings.address_of("auth"), *secrets]


def connect(platform: Platform) -> "psycopg2.extensions.connection":
    return psycopg2.connect(environment.servers(platform.settings).postgres.admin_url)


def test_home_is_relative_to_the_repository_and_not_to_where_one_stands(tmp_path: Path) -> None:
    from deploy.local.settings import ROOT, load

    assert load({}).home == ROOT / ".local"
    assert load({"GATEHOUSE_HOME": str(tmp_path / "x" / "..")}).home == tmp_path
