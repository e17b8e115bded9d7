"""nginx's mail proxy. Who a session is for is asked by HTTP; the same worker answers, which is the least that can cost."""
from peers import BACKEND, EVERYTHING, FILES, TLS, TLS_RSA, Peer


class Nginx(Peer):
    name = "nginx"
    about = "mail proxy, one worker, auth_http answered by itself without a look at the password, no log"
    packages = ("nginx", "libnginx-mod-mail")
    buffer = ""
    points = (*EVERYTHING, "drivers")

    def server(self, port, protocol, how=""):
        return f"""    server {{
        listen {self.address}:{port}{how};
        protocol {protocol};
    }}
"""

    def tls_servers(self):
        if not self.key:
            return ""
        return (f"    ssl_certificate {self.certificate()};\n    ssl_certificate_key {self.certificate('key')};\n"
                "    ssl_protocols TLSv1.2 TLSv1.3;\n" + self.server(993, "imap", " ssl") + self.server(995, "pop3", " ssl"))

    def commands(self):
        conf = self.file("nginx.conf", f"""load_module /usr/lib/nginx/modules/ngx_mail_module.so;
user nobody nogroup;
daemon off;
worker_processes 1;
worker_rlimit_nofile {FILES};
pid {self.folder}/pid;
error_log {self.folder}/error.log error;
events {{
    worker_connections {FILES};
}}
http {{
    access_log off;
    keepalive_timeout 0;
    client_body_temp_path {self.folder}/body;
    proxy_temp_path {self.folder}/proxy;
    fastcgi_temp_path {self.folder}/fastcgi;
    uwsgi_temp_path {self.folder}/uwsgi;
    scgi_temp_path {self.folder}/scgi;
    map $http_auth_protocol $mail_port {{
        pop3 110;
        default 143;
    }}
    server {{
        listen {self.address}:8080;
        location / {{
            add_header Auth-Status OK;
            add_header Auth-Server {BACKEND};
            add_header Auth-Port $mail_port;
            return 200;
        }}
    }}
}}
mail {{
    auth_http {self.address}:8080/;
    proxy_timeout 1h;
    {self.buffer}
{self.server(143, "imap")}{self.server(110, "pop3")}{self.tls_servers()}}}
""")
        self.file("error.log")
        return [["nginx", "-c", conf, "-e", f"{self.folder}/error.log"]]


class NginxLarge(Nginx):
    name = "nginx-64k"
    about = "as nginx, with proxy_buffer 64k, which idle sessions pay for"
    buffer = "proxy_buffer 64k;"
    points = ("bulk", "bulk16k", "idle")


class NginxTls(Nginx):
    name = "nginx-tls"
    about = "as nginx, with TLS towards clients, P-256; 256 logins at a time: each waits 43 ms for a delayed acknowledgement"
    key = "p256"
    points = TLS
    clients = {point: 256 for point in ("tls-login", "tls-login-aes128", "tls-pop-login", "tls-resume")}


class NginxLargeTls(NginxTls):
    name = "nginx-tls-64k"
    about = "as nginx-tls, with proxy_buffer 64k"
    buffer = "proxy_buffer 64k;"
    points = ("tls-bulk", "tls-bulk-aes128")


class NginxRsa(NginxTls):
    name = "nginx-rsa"
    about = "as nginx-tls with RSA-2048"
    key = "rsa"
    points = TLS_RSA


PEERS = [Nginx, NginxLarge, NginxTls, NginxLargeTls, NginxRsa]
