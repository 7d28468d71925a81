#!/bin/sh
# Gives the user of the pod a name, takes its port, and starts both.
if ! getent passwd "$(id -u)" >/dev/null && [ -w /etc/passwd ]; then
    echo "web:x:$(id -u):0:web:/opt/app-root/src:/sbin/nologin" >>/etc/passwd
fi
sed "s/listen 8080/listen ${PORT:-8080}/" nginx.conf >/tmp/nginx.conf
exec supervisord -c supervisord.conf
