PEERS = []
