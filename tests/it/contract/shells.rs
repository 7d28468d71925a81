//! The environment that the application, its scripts and the shells beside it see.

use super::files::{APP_PY, APP_SH};
use super::hold;
use super::row::{ROW, Row};

const WHERE: &str = "which python; echo $VIRTUAL_ENV";
const HERE: &str = "/opt/app-root/bin/python\n/opt/app-root\n";

#[test]
fn contract_shells() {
    hold(&[
        Row {
            name: "the application sees the environment of the Python images",
            files: &[APP_PY],
            page: &[
                "prefix /opt/app-root",
                "locale en_US.UTF-8",
                "env VIRTUAL_ENV=/opt/app-root",
                "env PATH=/opt/app-root/bin:/opt/app-root/src/.local/bin/:/opt/app-root/src/bin:/opt/app-root/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "env HOME=/opt/app-root/src",
                "env APP_ROOT=/opt/app-root",
                "env PYTHON_VERSION=3.13",
                "env PYTHONUNBUFFERED=1",
                "env PYTHONIOENCODING=UTF-8",
                "env LANG=en_US.UTF-8",
                "env LC_ALL=en_US.UTF-8",
                "env PIP_NO_CACHE_DIR=off",
                "env STI_SCRIPTS_PATH=/usr/libexec/s2i",
            ],
            ..ROW
        },
        Row {
            name: "shells beside the application are in the virtual environment",
            files: &[APP_PY],
            uid: 1_000_680_000,
            exec: &[
                (&["which", "python"], "/opt/app-root/bin/python\n"),
                (
                    &["python", "-c", "import sys; print(sys.prefix)"],
                    "/opt/app-root\n",
                ),
                (&["sh", "-c", WHERE], HERE),
                (&["sh", "-lc", WHERE], HERE),
                (&["bash", "-c", WHERE], HERE),
                (&["bash", "-lc", WHERE], HERE),
                (
                    &["bash", "-c", "sh -c 'bash -c \"which python\"'"],
                    "/opt/app-root/bin/python\n",
                ),
                (&["bash", "-ic", WHERE], HERE),
                (
                    &[
                        "sh",
                        "-c",
                        "echo 'which python; echo $VIRTUAL_ENV' | bash -i 2>/dev/null",
                    ],
                    HERE,
                ),
                (
                    &["bash", "-c", "pip --version | cut -d' ' -f4"],
                    "/opt/app-root/lib/python3.13/site-packages/pip\n",
                ),
            ],
            ..ROW
        },
        Row {
            name: "app.sh and what it starts are in the virtual environment",
            files: &[(
                "app.sh*",
                "#!/bin/sh\nwhich python\necho env $VIRTUAL_ENV\nbash -c 'echo bash $VIRTUAL_ENV'\nexec python -m seen serve app.sh\n",
            )],
            page: &["env VIRTUAL_ENV=/opt/app-root"],
            log: &["/opt/app-root/bin/python\nenv /opt/app-root\nbash /opt/app-root\n"],
            ..ROW
        },
        Row {
            name: "app.sh for bash is in the virtual environment",
            files: &[(
                "app.sh*",
                "#!/bin/bash\nset -euo pipefail\nwhich python\nexec python -m seen serve app.sh\n",
            )],
            page: &["env VIRTUAL_ENV=/opt/app-root"],
            log: &["/opt/app-root/bin/python\n"],
            ..ROW
        },
        Row {
            name: "the locale is a real one",
            files: &[APP_SH],
            exec: &[
                (
                    &[
                        "bash",
                        "-c",
                        "printf '%s\\n' \u{e9} e z | sort | tr -d '\\n'",
                    ],
                    "e\u{e9}z",
                ),
                (&["locale", "charmap"], "UTF-8\n"),
                (
                    &[
                        "python",
                        "-c",
                        "import locale; locale.setlocale(locale.LC_ALL, ''); print(f'{1234567:n} \u{e9}')",
                    ],
                    "1,234,567 \u{e9}\n",
                ),
            ],
            ..ROW
        },
    ]);
}
