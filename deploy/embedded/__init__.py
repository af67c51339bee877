"""The whole line on one machine: the services as child processes of one command, and no server beside them."""
