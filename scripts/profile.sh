# /etc/profile sets PATH anew in a login shell; this puts the application's environment back.

VIRTUAL_ENV=${APP_ROOT:-/opt/app-root}
export VIRTUAL_ENV
case ":$PATH:" in
    *":$VIRTUAL_ENV/bin:"*) ;;
    *) PATH=$VIRTUAL_ENV/src/.local/bin:$VIRTUAL_ENV/src/bin:$VIRTUAL_ENV/bin:$PATH ;;
esac
export PATH
