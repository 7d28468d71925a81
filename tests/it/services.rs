//! Whole services in one image: uWSGI, nginx in front of it, and what happens when one of them ends. As restricted
//! pods start them: another user, group 0, no capabilities, a read-only root.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use crate::harness::container::Container;
use crate::harness::files::{Project, example};
use crate::harness::home::{Home, digest_of};
use crate::harness::tools::finish;

const UID: u32 = 1_000_680_000;
const RESTRICTED: [&str; 6] = [
    "--read-only",
    "--read-only-tmpfs=false",
    "--tmpfs=/tmp:rw,mode=1777",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--env=WEB_CONCURRENCY=2",
];
/// How long a program may take to end or to start again.
const LIMIT: Duration = Duration::from_secs(20);

/// A store that has built the example, and the image in it.
fn behind_nginx() -> &'static (Home, String) {
    static BUILT: OnceLock<(Home, String)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let home = Home::seeded();
        let built = home.build(&example("flask-uwsgi-nginx"), &["front"]);
        let image = home.layout().reference(digest_of(&built));
        (home, image)
    })
}

#[track_caller]
fn started(image: &str, flags: &[&str]) -> Container {
    Container::start_with(image, UID, &[&RESTRICTED[..], flags].concat())
}

/// What came of a request.
enum Reply {
    /// Nobody listens.
    Refused,
    /// Nobody took the connection before the last one who listened was gone.
    Reset,
    Answered {
        /// In lower case.
        head: String,
        body: String,
    },
    /// Taken, and not answered whole.
    Lost,
}

fn ask(port: u16, request: &str) -> Reply {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return Reply::Refused;
    };
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut bytes = Vec::new();
    let asked = stream.write_all(request.as_bytes());
    let read = asked.and_then(|()| stream.read_to_end(&mut bytes));
    if read.is_err() && bytes.is_empty() {
        return Reply::Reset;
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n").filter(|_| read.is_ok()) else {
        return Reply::Lost;
    };
    let head = head.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    match length.and_then(|length| length.parse::<usize>().ok()) {
        Some(length) if length != body.len() => Reply::Lost,
        _ => Reply::Answered {
            head,
            body: body.to_owned(),
        },
    }
}

#[track_caller]
fn answer(port: u16, path: &str, headers: &str) -> (String, String) {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: shop:81\r\nConnection: close\r\n{headers}\r\n");
    match ask(port, &request) {
        Reply::Answered { head, body } => (head, body),
        Reply::Refused | Reply::Reset | Reply::Lost => panic!("{path} is not answered"),
    }
}

#[test]
fn flask_uwsgi_nginx() {
    let (_, image) = behind_nginx();
    let container = started(image, &["--env=NGINX_CLIENT_MAX_BODY_SIZE=2k"]);
    assert_eq!(container.page("/"), "Hello from uWSGI behind nginx\n");
    let port = container.port();

    let (head, body) = answer(port, "/static/style.css", "");
    assert_eq!(body, "body { margin: 2rem }\n");
    for line in [
        "content-type: text/css",
        "cache-control: max-age=3600",
        "expires: ",
    ] {
        assert!(head.contains(line), "{head}");
    }
    // All files have the same time, so a tag made of it would tell two versions for one.
    assert!(
        !head.contains("etag") && !head.contains("last-modified"),
        "{head}"
    );
    assert!(
        answer(port, "/static/none.css", "")
            .0
            .starts_with("http/1.1 404")
    );

    let (_, seen) = answer(port, "/asked", "X-Request-ID: outer-7\r\n");
    let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
    for (name, value) in [
        ("host", "shop:81"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop:81"),
        ("x-request-id", "outer-7"),
        ("url", "http://shop:81/asked"),
        ("remote", "127.0.0.1"),
    ] {
        assert_eq!(seen[name], value, "{name}");
    }
    let outer = "X-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: shop.example\r\n";
    let (_, seen) = answer(port, "/asked", outer);
    let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["x-forwarded-for"], "192.0.2.7, 127.0.0.1");
    assert_eq!(seen["x-forwarded-host"], "shop.example");
    assert_eq!(seen["url"], "https://shop:81/asked");
    let (head, _) = answer(port, "http://evil.example/asked", "");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(!container.logs().contains("Permission denied"));

    for (length, status) in [(1000, "200"), (3000, "413")] {
        let body = "x".repeat(length);
        let request = format!(
            "POST /length HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        match ask(port, &request) {
            Reply::Answered { head, .. } => {
                assert!(head.starts_with(&format!("http/1.1 {status}")), "{head}");
            }
            Reply::Refused | Reply::Reset | Reply::Lost => {
                panic!("{length} bytes are not answered")
            }
        }
    }
    let logs = container.logs();
    assert!(
        logs.contains("\"GET /static/style.css HTTP/1.1\" 200 22"),
        "{logs}"
    );
    assert!(logs.contains("id=outer-7"), "{logs}");
    container.stop();
}

/// What came of the requests of a container that was stopped under load five times.
struct Load {
    answered: usize,
    reset: usize,
    /// With another answer than the application's, or in parts.
    others: usize,
}

impl Load {
    const STOPS: usize = 5;
    const EACH_STOP: usize = 200;

    /// Asks for a path that answers with this body.
    #[track_caller]
    fn on(container: &Container, clients: usize, (path, expected): (&str, &str)) -> Self {
        let [answered, reset, others] = [(); 3].map(|()| AtomicUsize::new(0));
        let port = container.port();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let ask_until_refused = || loop {
            let count = match ask(port, &request) {
                Reply::Refused => break,
                Reply::Reset => &reset,
                Reply::Answered { head, body }
                    if head.starts_with("http/1.1 200") && body == expected =>
                {
                    &answered
                }
                Reply::Answered { .. } | Reply::Lost => &others,
            };
            count.fetch_add(1, Ordering::Relaxed);
        };
        for stop in 1..=Self::STOPS {
            if stop > 1 {
                container.start_again();
            }
            container.page("/");
            scope(|threads| {
                for _ in 0..clients {
                    threads.spawn(ask_until_refused);
                }
                let begun = Instant::now();
                while answered.load(Ordering::Relaxed) < stop * Self::EACH_STOP {
                    assert!(begun.elapsed() < LIMIT, "{}", container.logs());
                    sleep(Duration::from_millis(5));
                }
                assert_eq!(container.ends_on("TERM"), 0, "stop {stop}");
            });
        }
        let [answered, reset, others] = [answered, reset, others].map(AtomicUsize::into_inner);
        assert!(answered >= Self::STOPS * Self::EACH_STOP);
        Self {
            answered,
            reset,
            others,
        }
    }
}

/// nginx takes no more connections first, and the application ends last: the other way round, whatever came in
/// between was answered with 502. What nginx took it has logged.
#[test]
fn stops_under_load_lose_no_request() {
    let (_, image) = behind_nginx();
    let container = started(image, &[]);
    let load = Load::on(&container, 6, ("/slow?seconds=0.005", "done\n"));
    assert_eq!(load.others, 0);
    let logs = container.logs();
    let taken = logs.lines().filter(|line| line.contains("\"GET /slow"));
    let (whole, broken): (Vec<&str>, Vec<&str>) =
        taken.partition(|line| line.contains("\" 200 5 "));
    assert_eq!((whole.len(), broken), (load.answered, Vec::new()));
}

/// uWSGI by itself resets what waits for a worker, six of these eight clients in each stop. What is left is who connects
/// between the last look at the queue and its end, some microseconds later.
#[test]
fn a_stop_of_uwsgi_alone_answers_who_waits() {
    let (home, _) = behind_nginx();
    let built = home.build(&example("flask-uwsgi"), &["alone"]);
    let container = started(&home.layout().reference(digest_of(&built)), &[]);
    let load = Load::on(&container, 8, ("/", "Hello from uWSGI\n"));
    assert_eq!(load.others, 0);
    // Without the module some 30 are: nearly all clients at each of the five stops.
    assert!(load.reset < 10, "{} were reset", load.reset);
}

/// Kills a program of a container whose command line begins so.
#[track_caller]
fn kill(container: &Container, program: &str) {
    let script = format!(
        "for p in /proc/[0-9]*; do n=$(tr '\\0' ' ' <$p/cmdline); case $n in '{program}'*) kill -9 ${{p#/proc/}}; exit;; esac; done; exit 1"
    );
    container.exec(&["sh", "-c", &script]).ok();
}

#[test]
fn one_that_ends_ends_the_container_with_its_status() {
    let (_, image) = behind_nginx();
    let container = started(image, &[]);
    for (program, said) in [
        ("uwsgi_python3", "the application ended with status 137"),
        ("nginx: master", "nginx ended with status 137"),
    ] {
        container.page("/");
        kill(&container, program);
        assert_eq!(container.ends(), 137, "{program}");
        let logs = container.logs();
        assert!(logs.contains(said), "{logs}");
        container.start_again();
    }
}

#[test]
fn one_that_ends_is_started_again_where_the_settings_say_so() {
    let (home, _) = behind_nginx();
    let project = Project::copy_of("flask-uwsgi-nginx");
    project.write(
        "s2r.yaml",
        "server: uwsgi\nfront: nginx\nrestart: true\nrelease: echo released\n",
    );
    let built = home.build(&project.path(), &["again"]);
    let container = started(&home.layout().reference(digest_of(&built)), &[]);
    container.page("/");
    for (program, said) in [
        (
            "uwsgi_python3",
            "WARNING: the application ended with status 137",
        ),
        ("nginx: master", "WARNING: nginx ended with status 137"),
    ] {
        kill(&container, program);
        let killed = Instant::now();
        let port = container.port();
        let is_back = || {
            let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            let is_told = container.logs().contains(said);
            is_told
                && matches!(ask(port, request), Reply::Answered { head, .. } if head.starts_with("http/1.1 200"))
        };
        while !is_back() {
            assert!(killed.elapsed() < LIMIT, "{program}: {}", container.logs());
            sleep(Duration::from_millis(100));
        }
    }
    // The container was not started again.
    assert_eq!(container.logs().matches("\nreleased\n").count(), 1);
    assert_eq!(container.ends_on("TERM"), 0);
}

#[test]
fn what_a_variable_starts_is_told_the_protocol_of_nginx() {
    let (_, image) = behind_nginx();
    let container = started(image, &["--env=APP_FILE=app.py"]);
    container.says(
        "nginx speaks uWSGI's protocol here, and app.py gets it on /tmp/s2r/application.sock",
    );
}

/// An application of ASGI that talks over a socket, and sends events.
const STREAMS: &str = r#"
async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})
    elif scope["type"] == "http":
        kind = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
"#;

/// Longer than the minute after which nginx, left to itself, ends what says nothing.
const SILENCE: Duration = Duration::from_secs(63);

#[test]
fn streams_come_through_nginx_bit_by_bit_and_last() {
    let (home, _) = behind_nginx();
    let project = Project::new(&[
        ("main.py", STREAMS),
        ("requirements.txt", "uvicorn==0.38.0\nwebsockets==15.0.1\n"),
        (
            "s2r.yaml",
            "front: nginx\nenvironment: {APP_MODULE: \"main:app\"}\nserver: uvicorn\n",
        ),
    ]);
    let built = home.build(&project.path(), &["streams"]);
    // Without the pings that would keep it open.
    let flags = ["--env=UVICORN_WS_PING_INTERVAL=1000"];
    let container = started(&home.layout().reference(digest_of(&built)), &flags);
    container.says("Application startup complete");
    let connect = |headers: &str| {
        let begun = Instant::now();
        let mut stream = loop {
            match TcpStream::connect(("127.0.0.1", container.port())) {
                Ok(stream) => break stream,
                Err(_) => assert!(begun.elapsed() < LIMIT, "{}", container.logs()),
            }
            sleep(Duration::from_millis(50));
        };
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let request = format!("GET /feed HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let until = |stream: &mut TcpStream, end: &[u8]| {
        let mut read = Vec::new();
        while !read.ends_with(end) {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            read.push(byte[0]);
        }
        read
    };
    let text = |stream: &mut TcpStream, end: &[u8]| String::from_utf8(until(stream, end)).unwrap();
    let mut events = connect("Accept: text/event-stream\r\n");
    assert!(text(&mut events, b"first\n\n").starts_with("HTTP/1.1 200"));

    let mut socket = connect(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    );
    let head = text(&mut socket, b"\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    // RFC 6455, section 5.2: the last frame, of text; five bytes, masked by zeros from a client.
    let mut exchange = || {
        socket.write_all(b"\x81\x85\0\0\0\0hello").unwrap();
        assert_eq!(until(&mut socket, b"HELLO"), b"\x81\x05HELLO");
    };
    exchange();
    sleep(SILENCE);
    exchange();
}

#[test]
fn an_application_that_listens_on_a_port_alone_is_behind_nginx() {
    let (home, _) = behind_nginx();
    // `HTTPServer` looks its own name up before it listens, which takes as long as the resolver does.
    let page = "import os\nfrom http.server import SimpleHTTPRequestHandler\nfrom socketserver import TCPServer\nTCPServer(('', int(os.environ['PORT'])), SimpleHTTPRequestHandler).serve_forever()\n";
    let project = Project::new(&[("app.py", page), ("s2r.yaml", "front: nginx\n")]);
    let built = home.build(&project.path(), &["port"]);
    let container = started(&home.layout().reference(digest_of(&built)), &[]);
    assert!(container.page("/s2r.yaml").contains("front"));
    let logs = container.logs();
    assert!(
        !logs.contains("[crit]") && !logs.contains("[error]"),
        "{logs}"
    );
}

#[test]
fn flask_uwsgi() {
    let (home, _) = behind_nginx();
    let built = home.build(&example("flask-uwsgi"), &["alone"]);
    let container = started(&home.layout().reference(digest_of(&built)), &[]);
    assert_eq!(container.page("/"), "Hello from uWSGI\n");
    let port = container.port();
    // Requests that are being answered come to their end.
    scope(|threads| {
        let requests: Vec<_> = (0..2)
            .map(|_| threads.spawn(move || answer(port, "/slow", "").1))
            .collect();
        sleep(Duration::from_millis(300));
        assert_eq!(container.ends_on("TERM"), 0, "{}", container.logs());
        for request in requests {
            assert_eq!(request.join().unwrap(), "done\n");
        }
    });
}

#[test]
fn flask_own_nginx() {
    let (home, _) = behind_nginx();
    let built = home.build(&example("flask-own-nginx"), &["own"]);
    let container = started(&home.layout().reference(digest_of(&built)), &[]);
    // The project's own nginx answers before there is an application.
    container.says("WSGI app 0");
    // podman gives the user a name of its own.
    let page = container.page("/");
    let is_whole =
        page.starts_with("Hello ") && page.ends_with(", from supervisor, nginx and uWSGI\n");
    assert!(is_whole, "{page}");
    assert_eq!(
        container.page("/static/site.css"),
        "body { margin: 1rem }\n"
    );
    container.stop();
}

#[test]
fn what_is_ejected_is_used_as_it_is() {
    let (home, _) = behind_nginx();
    let project = Project::copy_of("flask-uwsgi-nginx");
    let folder = project.path();
    let eject = |flags: &[&str]| finish(home.command(&["eject"]).arg(&folder).args(flags));
    let files = ["uwsgi.ini", "nginx.conf"].map(|name| folder.join(name));
    let written = eject(&[]).ok();
    let expected = files.each_ref().map(|path| format!("{}\n", path.display()));
    assert_eq!(written.stdout, expected.concat());
    eject(&[]).exits(65).says(&["is there already", " --force"]);
    let nginx = fs::read_to_string(&files[1]).unwrap();
    fs::write(&files[1], "").unwrap();
    eject(&["--force"]).ok();
    assert_eq!(fs::read_to_string(&files[1]).unwrap(), nginx);

    // It starts as before, but for what was changed.
    project.write("nginx.conf", &nginx.replace("expires 1h", "expires 7h"));
    let built = home.build(&folder, &["ejected"]);
    let container = started(&home.layout().reference(digest_of(&built)), &[]);
    assert_eq!(container.page("/"), "Hello from uWSGI behind nginx\n");
    let (head, _) = answer(container.port(), "/static/style.css", "");
    assert!(head.contains("max-age=25200"), "{head}");
    let notes = container.exec(&["ls", "/opt/app-root/etc/s2r"]).ok();
    assert!(!notes.stdout.contains("nginx.conf"), "{}", notes.stdout);
    assert_eq!(container.ends_on("TERM"), 0);

    let plain = Project::copy_of("flask-gunicorn");
    finish(home.command(&["eject"]).arg(plain.path()))
        .exits(65)
        .says(&["front: nginx"]);
}
