from scaler.cli.localcloud import main

main()
