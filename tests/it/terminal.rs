//! What a person at a terminal sees: the live line leaves nothing behind, help comes in groups, and a folder is built
//! without being named.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::harness::files::{Project, example};
use crate::harness::home::Home;
use crate::harness::stored;
use crate::harness::tools::{Finished, finish, free_port};

/// Runs a command in a pseudo-terminal of 50 lines by 400 columns. What is typed is a line of stdin for each prompt.
const IN_TERMINAL: &str = r#"
import fcntl, os, pty, struct, sys, termios

typed = sys.stdin.buffer.read().splitlines(keepends=True)
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 400, 0, 0))
    os.execv(sys.argv[1], sys.argv[1:])
seen = b""
while True:
    try:
        some = os.read(terminal, 65536)
    except OSError:
        break
    if not some:
        break
    seen += some
    sys.stdout.buffer.write(some)
    if typed and seen.endswith(b": "):
        os.write(terminal, typed.pop(0))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

/// The spinner's forms.
const SPINNER: [char; 8] = ['⠁', '⠂', '⠄', '⡀', '⢀', '⠠', '⠐', '⠈'];

/// Runs s2r in a terminal; what the terminal got is stdout.
#[track_caller]
fn in_terminal(home: &Home, arguments: &[&str], typed: &str) -> Finished {
    let mut command: Command = home.other("python3".as_ref());
    command
        .env("TERM", "xterm")
        .args(["-c", IN_TERMINAL, env!("CARGO_BIN_EXE_s2r")])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).unwrap();
    drop(stdin);
    Finished::new(&command, &child.wait_with_output().unwrap())
}

/// The lines that stand on a terminal in the end.
fn screen(bytes: &str) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut characters = bytes.chars();
    while let Some(one) = characters.next() {
        match one {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => {
                assert_eq!(characters.next(), Some('['));
                let mut number = String::new();
                let last = loop {
                    match characters.next().unwrap() {
                        digit @ ('0'..='9' | ';' | '?') => number.push(digit),
                        last => break last,
                    }
                };
                match last {
                    'A' => row -= number.parse().unwrap_or(1).min(row),
                    'K' if number == "2" => lines[row].clear(),
                    'K' => lines[row].truncate(column),
                    _ => {}
                }
            }
            one => {
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = one;
                column += 1;
            }
        }
        while lines.len() <= row {
            lines.push(Vec::new());
        }
    }
    let lines = lines.into_iter().map(|line| line.into_iter().collect());
    lines
        .map(|line: String| line.trim_end().to_owned())
        .collect()
}

#[track_caller]
fn shows_no_spinner(text: &str) {
    assert!(!text.contains(SPINNER), "the live line stays:\n{text}");
}

#[test]
fn a_build_leaves_no_live_line_above_its_result() {
    let home = Home::seeded();
    let source = example("script");
    let source = source.to_str().unwrap();
    let built = in_terminal(&home, &["build", source, "app"], "").ok();
    // There is one while it builds, or this would prove nothing.
    assert!(built.stdout.contains(SPINNER), "{}", built.stdout);
    let seen = screen(&built.stdout);
    shows_no_spinner(&seen.join("\n"));
    let result = seen.iter().rposition(|line| !line.is_empty()).unwrap();
    assert!(seen[result].starts_with("app@sha256:"), "{seen:#?}");
    assert!(seen[result - 1].contains("in all"), "{seen:#?}");
}

#[test]
fn a_failing_build_leaves_no_live_line_above_the_error() {
    let home = Home::seeded();
    let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", "-r none.txt\n")]);
    let path = project.path();
    let failed = in_terminal(&home, &["build", path.to_str().unwrap(), "app"], "").exits(65);
    let seen = screen(&failed.stdout);
    shows_no_spinner(&seen.join("\n"));
    assert!(seen.iter().any(|line| line.starts_with("error: ")));
}

#[test]
fn commands_that_wait_for_nothing_have_no_live_line() {
    let home = stored::home();
    for arguments in [
        &["images"][..],
        &["cache"],
        &["builders"],
        &["inspect", stored::NAME],
        &["rm", stored::NAME],
    ] {
        shows_no_spinner(&in_terminal(&home, arguments, "").ok().stdout);
    }
    shows_no_spinner(&in_terminal(&home, &["rm", "none"], "").exits(2).stdout);
    let nobody = format!("127.0.0.1:{}", free_port());
    let login = in_terminal(&home, &["login", &nobody], "me\nsecret\n").exits(69);
    shows_no_spinner(&login.stdout);
    let seen = screen(&login.stdout);
    assert_eq!(seen[..2], ["Username: me", "Password:"], "{seen:#?}");
}

#[test]
fn the_folder_one_stands_in_is_built_planned_and_locked() {
    let home = Home::seeded();
    let project = Project::copy_of("script");
    for (arguments, answer) in [
        (&["plan"][..], "app.py"),
        (&["build"], "sha256:"),
        (&["lock"], "s2r.lock"),
    ] {
        let mut command = home.command(arguments);
        let done = finish(command.current_dir(project.path())).ok();
        assert!(done.stdout.contains(answer), "{}", done.stdout);
    }
    assert!(project.path().join("s2r.lock").is_file());
}

#[test]
fn help_is_for_each_command_and_in_groups() {
    let home = Home::empty();
    let help = home.run(&["help", "build"]).ok().stdout;
    assert_eq!(help, home.run(&["build", "--help"]).ok().stdout);
    assert!(home.run(&["help"]).ok().stdout.contains("rebase"));
    home.run(&["help", "biuld"]).exits(2).says(&["biuld"]);
    let group_of = |option: &str| {
        let before = &help[..help.find(option).unwrap()];
        let heading = |line: &&str| !line.starts_with(' ') && line.ends_with(':');
        before.lines().rfind(heading).unwrap().to_owned()
    };
    for (options, heading) in [
        (
            &["--tag", "--push", "--output", "--run", "--env", "--builder"][..],
            "Options:",
        ),
        (&["--cache-from", "--no-cache"], "Layers of registries:"),
        (
            &["--locked", "--offline", "--refresh"],
            "Locks and network:",
        ),
        (
            &["--isolation", "--step-memory", "--step-time"],
            "Code of the project:",
        ),
        (
            &["--bytecode", "--format", "--compression", "--estargz"],
            "Image format:",
        ),
        (
            &["--authfile", "--tls-verify", "--insecure-registry"],
            "Registries:",
        ),
        (&["--progress", "--json"], "Messages:"),
    ] {
        for option in options {
            // At the head of a line: texts of other options may name it.
            let at_head = format!("{option} ");
            let found = help
                .lines()
                .map(str::trim_start)
                .find(|line| line.starts_with('-') && format!("{line} ").contains(&at_head))
                .unwrap_or_else(|| help.lines().find(|line| line.contains(option)).unwrap());
            assert_eq!(group_of(found), heading, "{option}");
        }
    }
    // What is needed most is met first.
    assert!(help.find("--push").unwrap() < help.find("--cache-from").unwrap());
}

#[test]
fn last_lines_of_a_step_are_told_once() {
    let home = Home::seeded();
    let project = Project::new(&[
        ("app.py", "pass\n"),
        (
            "pyproject.toml",
            "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
        ),
        (
            "backend.py",
            "def build_wheel(*_, **__):\n    print('one cause', flush=True)\n    raise SystemExit(3)\n",
        ),
    ]);
    let build = |progress: &str| {
        let mut command = home.command(&["build", "--progress", progress]);
        finish(command.arg(project.path()).arg("app")).exits(65)
    };
    for progress in ["plain", "none"] {
        let said = build(progress).stderr;
        assert_eq!(said.matches("one cause").count(), 1, "{said}");
    }
    assert!(build("plain").stderr.contains("last lines stand above"));
    // Machines get events and the error apart from each other.
    let said = build("json").stderr;
    assert_eq!(said.matches("one cause").count(), 2, "{said}");
}
