sed "s/8080/$PORT/" nginx.conf >/etc/nginx/nginx.conf
exec supervisord -c supervisord.conf
