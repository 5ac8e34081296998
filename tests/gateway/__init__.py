"""The gateway as a running process: real gunicorn, real sockets, a scripted peer in the place of the services."""
