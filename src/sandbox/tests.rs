//! Steps in a real sandbox; the helper is the program that cargo built beside this test.

use super::*;

#[test]
fn dev_hello() {
    let program = std::env::current_exe()
        .unwrap()
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("s2r");
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let root = Root {
        lower: vec![PathBuf::from("/tmp/wt/aroot")],
        upper: at("upper"),
        scratch: at("scratch"),
    };
    let sandbox = Sandbox::new(Isolation::Auto, &program).unwrap();
    let step = Step {
        command: ["sh","-c", "echo hi; id; mount; ls -la / /dev /proc/self/fd; cat /proc/self/status | tail -40; echo x > /etc/new; rm /etc/passwd; ls -la /proc/sys/kernel/core_pattern; echo y > /proc/sys/kernel/core_pattern; env; ip a"].map(String::from).to_vec(),
        directory: "/".into(), environment: BTreeMap::from([("PATH".into(),"/usr/bin:/bin".into())]), user: (1001,0), mounts: vec![], has_network: false, limits: Limits::NONE,
    };
    let ended = sandbox
        .run(&root, &step, &mut |_, bytes| {
            print!("{}", String::from_utf8_lossy(bytes))
        })
        .unwrap();
    println!("{ended:?} {:?}", changes(&root));
}
