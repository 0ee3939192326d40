from belljar._launcher import main

main()
