//! Files that many rows have. Each says on its page which one it is.

pub(super) type File = (&'static str, &'static str);

pub(super) const APP_PY: File = ("app.py", "import seen\nseen.serve('app.py')\n");
pub(super) const MAIN_PY: File = ("main.py", "import seen\nseen.serve('main.py')\n");
pub(super) const APP_SH: File = ("app.sh*", "#!/bin/sh\nexec python -m seen serve app.sh\n");
pub(super) const START: File = ("start*", "#!/bin/sh\nexec python -m seen serve start\n");
pub(super) const WSGI: File = ("wsgi.py", "import seen\napplication = seen.wsgi('wsgi')\n");
pub(super) const SHOP: File = (
    "shop.py",
    "import seen\napplication = seen.wsgi('shop')\nother = seen.wsgi('other')\n",
);
pub(super) const MANAGE: File = ("manage.py", "import seen\nseen.manage()\n");
/// A gunicorn.conf.py that knows all it needs but an address.
pub(super) const CONF: File = ("gunicorn.conf.py", "wsgi_app = 'shop:application'\n");
