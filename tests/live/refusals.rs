//! What cannot be run says why, and where in the file.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use super::middlebox::{Folder, MOS, bridge, mos};
use super::net::Net;

/// What is said on standard error, after the folder was taken out of it. Nothing else is, and the exit status is 1.
fn refusal(folder: &Folder, output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
    let folder = folder.path("").display().to_string();
    String::from_utf8_lossy(&output.stderr).replace(&folder, "")
}

#[test]
fn devices_that_do_not_go_together_are_refused() {
    let folder = Folder::new();
    let devices = |lines: &str| format!("mos {{\n    netdev {{\n{lines}    }}\n}}\n");
    let cases = [
        (
            devices("        nope0 0x1\n"),
            "mos: mos.conf:3:9: nope0: cannot be set up: an interface of this name: No such device (os error 19)\n",
        ),
        (
            devices("        m0 0x1\n        m1 0x3\n"),
            "mos: mos.conf:4:9: `m1` has the cores 0x3, `m0` has 0x1: all devices need the same ones\n",
        ),
        (
            devices("        m0 0x1\n        pcap:x.pcap 0x1\n"),
            "mos: mos.conf:3:9: interfaces and capture files do not go together: their times are not the same\n",
        ),
        (
            devices("        xdp:m0 0x1\n"),
            "mos: mos.conf:3:9: `xdp:m0`: this build has no such devices, only interfaces and `pcap:FILE`\n",
        ),
        (
            "mos {\n    user = no-such-user\n    netdev {\n        lo 0x1\n    }\n    forward = 0\n}\n".to_owned(),
            "mos: there is no user `no-such-user`\n",
        ),
    ];
    for (conf, expected) in cases {
        if expected.contains("nope0") || expected.contains("user") {
            // These need root.
            let Some(net) = Net::new() else { continue };
            folder.write("mos.conf", &conf);
            let mut command = mos(&folder, "run flowlog -f {dir}/mos.conf --socket {dir}/sock");
            let output = net.run("m", move || command.output().unwrap());
            assert_eq!(refusal(&folder, &output), expected);
        } else {
            folder.write("mos.conf", &conf);
            let output = mos(&folder, "run flowlog -f {dir}/mos.conf --socket {dir}/sock").output().unwrap();
            assert_eq!(refusal(&folder, &output), expected);
        }
        assert!(!folder.path("sock").exists());
    }
}

#[test]
fn who_may_not_is_told_what_is_missing() {
    let Some(net) = Net::new() else { return };
    let folder = Folder::new();
    folder.write("mos.conf", &bridge(1, ""));
    // Where everybody may run it.
    let program = folder.path("mos");
    fs::copy(MOS, &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&program);
    command.args(["run", "flowlog", "-f"]).arg(folder.path("mos.conf")).arg("--socket").arg(folder.path("sock"));
    command.uid(65_534).gid(65_534);
    let output = net.run("m", move || command.output().unwrap());
    let refusal = refusal(&folder, &output);
    assert_eq!(
        refusal,
        "mos: mos.conf:5:9: m0: not permitted: packet sockets need CAP_NET_RAW, and CAP_NET_ADMIN for large buffers; run as \
         root or give them to the program: setcap cap_net_raw,cap_net_admin+ep PROGRAM (Operation not permitted (os error \
         1))\n"
    );
}

#[test]
fn nobody_answers_for_an_instance_that_is_not_there() {
    let folder = Folder::new();
    let output = mos(&folder, "stat --socket {dir}/sock").output().unwrap();
    assert_eq!(
        refusal(&folder, &output),
        "mos: sock: no instance answers there: No such file or directory (os error 2)\n"
    );
}
