//! What a user finds inside the image: a Python environment as pip would have made it.

use crate::harness::container::{Container, run_once};
use crate::harness::files::{Project, example};
use crate::harness::home::{Home, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::wheel::Wheel;

/// What the standard library needs of the system.
const SYSTEM: &str = "
import ctypes, ctypes.util, getpass, hashlib, locale, lzma, os, pwd, sqlite3, ssl, sys, zlib, zoneinfo
assert locale.setlocale(locale.LC_ALL, '') == 'en_US.UTF-8', locale.getlocale()
assert sys.getfilesystemencoding() == 'utf-8' and sys.stdout.encoding.lower() == 'utf-8'
assert ssl.create_default_context().get_ca_certs(), 'no CA certificates'
assert sqlite3.connect(':memory:').execute('select 1').fetchone() == (1,)
assert zoneinfo.ZoneInfo('Europe/Prague').key == 'Europe/Prague'
assert sys.prefix == '/opt/app-root' and sys.base_prefix == '/usr', (sys.prefix, sys.base_prefix)
assert os.environ['HOME'] == os.getcwd() == '/opt/app-root/src'
open('written', 'w').close(); os.mkdir('made'); os.remove('written'); os.rmdir('made')
open(os.path.join(sys.prefix, 'lib/python3.13/site-packages/written'), 'w').close()
print('fine')
";

#[test]
fn the_standard_library_finds_its_system() {
    let home = Home::seeded();
    let reference = home.build(&example("script"), &["x"]);
    let image = home.layout().reference(digest_of(&reference));
    for uid in [1001, 1_000_680_000] {
        let ran = run_once(&image, uid, &["python", "-c", SYSTEM]).ok();
        assert_eq!(ran.stdout, "fine\n");
    }
    let which = run_once(
        &image,
        12345,
        &[
            "bash",
            "-c",
            "command -v python; command -v python3.13; echo $VIRTUAL_ENV",
        ],
    );
    assert_eq!(
        which.ok().stdout,
        "/opt/app-root/bin/python\n/opt/app-root/bin/python3.13\n/opt/app-root\n"
    );
}

#[test]
fn a_running_application_knows_its_user() {
    let home = Home::seeded();
    let project = Project::copy_of("script");
    project.write(
        "app.py",
        "import getpass, os, pwd, signal, sys\n\
         from http.server import BaseHTTPRequestHandler, HTTPServer\n\
         class Who(BaseHTTPRequestHandler):\n\
         \x20   def do_GET(self):\n\
         \x20       user = pwd.getpwuid(os.getuid())\n\
         \x20       self.send_response(200)\n\
         \x20       self.end_headers()\n\
         \x20       self.wfile.write(f'{user.pw_dir} {getpass.getuser() != \"\"}'.encode())\n\
         signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n\
         HTTPServer(('', int(os.environ['PORT'])), Who).serve_forever()\n",
    );
    let reference = home.build(&project.path(), &["x"]);
    let image = home.layout().reference(digest_of(&reference));
    for uid in [1001, 1_000_680_000] {
        // podman would write the user into /etc/passwd; a platform that does not is the harder case.
        let container = Container::start_with(&image, uid, &["--passwd=false"]);
        assert_eq!(container.page("/"), "/opt/app-root/src True");
        container.stop();
    }
}

#[test]
fn pip_works_on_what_was_installed() {
    let home = Home::seeded();
    let reference = home.build(&example("flask-gunicorn"), &["x"]);
    let image = home.layout().reference(digest_of(&reference));
    let script = "set -e\n\
        pip check\n\
        pip list --format=freeze\n\
        python -c \"import importlib.metadata as m; print(m.version('flask'), m.distribution('flask').read_text('INSTALLER'))\"\n\
        flask --version\n\
        pip uninstall --yes flask gunicorn\n\
        ! python -c 'import flask' 2>/dev/null\n\
        test ! -e /opt/app-root/bin/flask\n\
        test ! -e /opt/app-root/bin/gunicorn\n\
        ls /opt/app-root/lib/python3.13/site-packages\n";
    let ran = run_once(&image, 1_000_680_000, &["sh", "-c", script]).ok();
    assert!(
        ran.stdout.contains("No broken requirements found"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("Flask==3.1.3") || ran.stdout.contains("flask==3.1.3"));
    let left = ran
        .stdout
        .rsplit_once("Successfully uninstalled")
        .unwrap()
        .1;
    assert!(
        !left.contains("flask") && left.contains("werkzeug"),
        "{left}"
    );
}

#[test]
fn an_image_can_do_without_pip() {
    let home = Home::seeded();
    let project = Project::copy_of("flask-gunicorn");
    project.write(".s2i/environment", "S2R_PIP=none\n");
    let built = home.build(&project.path(), &["x"]);
    let members = home.layout().members(digest_of(&built));
    let of_pip = |path: &&String| path.contains("site-packages/pip") || path.contains("bin/pip");
    assert_eq!(members.keys().find(of_pip), None);
    let image = home.layout().reference(digest_of(&built));
    let container = Container::start(&image, 1_000_680_000);
    assert!(container.page("/").starts_with("Hello"));
    // What S2I runs in such an image says what it lacks.
    let ran = container.exec(&["sh", "/usr/libexec/s2i/assemble"]);
    let ran = ran.exits(1);
    assert!(
        ran.stdout.contains("there is no pip in this image"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_hand_made_wheel_is_installed_as_pip_does_it() {
    let home = Home::seeded();
    let long = format!("tool/{}/{}.txt", "d".repeat(120), "f".repeat(150));
    let wheel = Wheel::new("tool", "1.0")
        .file("tool/__init__.py", "def main():\n    print('tool main')\n")
        .file("tool/empty.txt", "")
        .file("tool/n\u{e4}me.txt", "unicode")
        .file(&long, "long")
        .info(
            "entry_points.txt",
            "[console_scripts]\ntool = tool:main\n\n[gui_scripts]\ntool-gui = tool:main\n",
        )
        .data(
            "scripts/tool-script",
            "#!python\nprint('script of the wheel')\n",
        )
        .data("data/share/tool/data.txt", "data\n")
        .data("purelib/tool_extra.py", "EXTRA = 1\n");
    let index = Index::serving(&[wheel], None, Fault::None);
    let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", "tool==1.0\n")]);
    let built = index.build(&home, &project.path()).ok();
    let image = home.layout().reference(digest_of(built.line()));
    home.layout().is_read_by_others(digest_of(built.line()));
    let script = "set -e\n\
        tool; tool-gui; tool-script\n\
        cat /opt/app-root/share/tool/data.txt\n\
        python -c 'import tool_extra, tool, os; print(len(os.listdir(os.path.dirname(tool.__file__))))'\n\
        head -n 1 /opt/app-root/bin/tool /opt/app-root/bin/tool-script\n\
        pip check >&2; pip show -f tool >&2; pip uninstall --yes tool >&2\n\
        test ! -e /opt/app-root/share/tool/data.txt\n\
        test ! -e /opt/app-root/bin/tool-script\n\
        test ! -e /opt/app-root/lib/python3.13/site-packages/tool_extra.py\n";
    let ran = run_once(&image, 1001, &["sh", "-c", script]).ok();
    assert_eq!(
        ran.stdout,
        "tool main\ntool main\nscript of the wheel\ndata\n5\n\
         ==> /opt/app-root/bin/tool <==\n#!/opt/app-root/bin/python\n\n\
         ==> /opt/app-root/bin/tool-script <==\n#!/opt/app-root/bin/python\n"
    );
}
